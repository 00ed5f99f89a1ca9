"""The loss around a run's training, on a plane through parameter space (LBBT, Fig. 4)."""
import sys

from lbbt_mm.figures.landscape import main

if __name__ == '__main__':
    sys.exit(main())
