"""Outliers among the weights of checkpoints, and the tails of their distributions."""
import sys

from lbbt_mm.figures.outliers import main

if __name__ == '__main__':
    sys.exit(main())
