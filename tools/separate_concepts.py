"""Leave out of image-caption data what names the classes of a zero-shot test."""
import sys

from lbbt_mm.zero_shot.separate_concepts import main

if __name__ == '__main__':
    sys.exit(main())
