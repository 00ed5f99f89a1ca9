"""Which block of a language model sees samples as which block of a vision model does."""
import sys

from lbbt_mm.figures.mutual_knn import main

if __name__ == '__main__':
    sys.exit(main())
