"""Curves over training, from the logs of runs of any mm project, with bands over seeds."""
import sys

from lbbt_mm.figures.curves import main

if __name__ == '__main__':
    sys.exit(main())
