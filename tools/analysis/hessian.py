"""Numbers of the loss's Hessian (LBBT, Table 15), and its spectral density."""
import sys

from lbbt_mm.figures.hessian import main

if __name__ == '__main__':
    sys.exit(main())
