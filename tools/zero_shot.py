"""Classify images as any classes, named in words, with a ShareLock and the two frozen models that it was trained on."""
import sys

from lbbt_mm.zero_shot.classify import main

if __name__ == '__main__':
    sys.exit(main())
