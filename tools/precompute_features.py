"""Make features of images or texts by a frozen model, once, for training and testing on top of them."""
import sys

from lbbt_mm.zero_shot.precompute import main

if __name__ == '__main__':
    sys.exit(main())
