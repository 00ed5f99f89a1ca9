"""Test a trained model from a config of lbbt_mm or of any mm project."""
import sys

from lbbt_mm.launch.test import main

if __name__ == '__main__':
    sys.exit(main())
