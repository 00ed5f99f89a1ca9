"""How many neurons images activate (LBBT, Fig. 7, Eqs. 5 and 6): by block, as a run began and as it ended.

Of each block: the share of pairs of an image and a hidden unit whose mean over the tokens is above 0. Beside it stands what
the published figure leaves open: the same on images whose pixels are shuffled, and how much of the ratio differs from image
to image; a ratio that is as high without the picture says nothing about the picture. Several runs under one label (seeds)
make a mean and a band of one standard deviation.

  tools/analysis/activation.py language=RUN random=RUN
  tools/analysis/activation.py language=RUN0 language=RUN1 language=RUN2 random=RUN0 random=RUN1 --control pixels noise
  tools/analysis/activation.py CONFIG.py,CHECKPOINT.pth --at end --module 'backbone.blocks.*'

Of a model with a rectifier it is the blocks of its ViT, which all arms have, as of a plain ViT; of language blocks in other
models, these.

The public code of the paper counts otherwise (--variant public): outputs of attention whose mean absolute value is above
0.6 of the layer's mean. What is done is kept in --out, and not done again.
"""
import argparse
from typing import Optional, Sequence

from lbbt_mm import argument_types
from .arguments import TRAINED, add_output, add_samples, run_figure


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='RUN', help=TRAINED)
    parser.add_argument('--at', nargs='+', choices=('start', 'end'), default=['start', 'end'],
                        help='of the training; the start is made anew, for which the language model is read; default: both')
    parser.add_argument('--variant', choices=('paper', 'public'), default='paper',
                        help='who says what counts as activated, the paper or its public code; default: paper')
    parser.add_argument('--units', choices=('gate', 'product'),
                        help='of --variant paper, hidden units of gated networks: the activated gate, which comes out of '
                        'the activation as the units of plain networks do, or its product with the up projection; default: '
                        'gate')
    parser.add_argument('--module', metavar='PATTERN',
                        help='which blocks, by name; default: language blocks, but those of the backbone of a model that '
                        'has none, or has them in a rectifier')
    parser.add_argument('--control', nargs='+', choices=('pixels', 'noise', 'constant', 'none'), default=['pixels'],
                        help='other images: the pixels of each in random places, noise of its mean and deviation, its mean '
                        'colour; the first is drawn; default: pixels')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='test', help='default: test')
    add_samples(parser, 256)
    add_output(parser, 'activation')
    args = parser.parse_args(arguments)
    if args.units and args.variant == 'public':
        parser.error(f'--units {args.units}: --variant public counts outputs of attention, no hidden units. Leave one out')
    args.units = args.units or ('attention' if args.variant == 'public' else 'gate')
    return args


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'activation_ratios')


if __name__ == '__main__':
    import sys
    sys.exit(main())
