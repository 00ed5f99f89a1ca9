"""Gradient signal-to-noise ratios of runs that had lbbt_mm.GSNRHook: over training, and by block."""
import sys

from lbbt_mm.figures.gsnr import main

if __name__ == '__main__':
    sys.exit(main())
