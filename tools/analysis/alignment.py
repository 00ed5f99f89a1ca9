"""How first-layer weights lie to the covariance of what they see, before and after random labels."""
import sys

from lbbt_mm.figures.alignment import main

if __name__ == '__main__':
    sys.exit(main())
