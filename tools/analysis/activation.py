"""How many neurons images activate, by block, before and after training."""
import sys

from lbbt_mm.figures.activation import main

if __name__ == '__main__':
    sys.exit(main())
