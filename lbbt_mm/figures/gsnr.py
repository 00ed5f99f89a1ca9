"""Gradient signal-to-noise ratios of runs that had lbbt_mm.GSNRHook: over training, and by block.

"Frozen Language Models are Gradient Coherence Rectifiers in Vision Transformers", Fig. 2: the mean over the blocks, epoch by
epoch, with the floor, which gradients without any signal would have. Fig. 3, Eq. 7: the mean over the epochs, block by
block, less that of the runs of the first label (--baseline); of one label alone, the values. Runs under one label are the
seeds of one arm: a line is their mean, a band a standard deviation to either side.

  tools/analysis/gsnr.py vanilla=RUN0 vanilla=RUN1 end=RUN2 end=RUN3 middle=RUN4 middle=RUN5
  tools/analysis/gsnr.py EXPERIMENT/runs/* --baseline none-lr0.0005
  tools/analysis/gsnr.py vanilla=RUN0 end=RUN1 --value scaled

A run is a folder with gsnr.csv, as the hook writes it. Written to --out: gsnr.png, .pdf, .csv (all rows) and gsnr_blocks.csv
(Eq. 7, by block).
"""
import argparse
from typing import Optional, Sequence

from lbbt_mm import argument_types
from .arguments import add_output, run_figure


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='[LABEL=]RUN',
                        help='folder of a run; without a label its name is one, without the seed')
    parser.add_argument('--baseline', metavar='LABEL', help='what the others are compared with; default: the first label')
    parser.add_argument('--value', choices=('gsnr', 'corrected', 'scaled'), default='gsnr',
                        help='what is drawn: Eq. 2 itself, less the floor, or times the batch size; default: %(default)s')
    add_output(parser, 'gsnr')
    return parser.parse_args(arguments)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'gsnr_trends')


if __name__ == '__main__':
    import sys
    sys.exit(main())
