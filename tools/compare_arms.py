"""The matched experiment: train a config from several start weights (arms) and seeds, and compare what comes out."""
import sys

from lbbt_mm.experiments.compare_arms import main

if __name__ == '__main__':
    sys.exit(main())
