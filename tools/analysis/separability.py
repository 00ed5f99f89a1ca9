"""Whether features tell the true classes apart, before and after training."""
import sys

from lbbt_mm.figures.separability import main

if __name__ == '__main__':
    sys.exit(main())
