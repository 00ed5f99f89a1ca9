"""Train a model from a config of lbbt_mm or of any mm project."""
import sys

from lbbt_mm.launch.train import main

if __name__ == '__main__':
    sys.exit(main())
