"""How first-layer weights lie to the covariance of what they see (LBBT, Theorem 4.1): before and after random labels.

On networks for which the theorem's assumptions hold (Gaussian inputs, isotropic start, SGD, random labels), over training;
and on the patch embedding of runs, at the start and at the end, with the change between the two. Alignment is 1 for weights
whose covariance has the eigenvectors of the inputs', 0 for what random rotations of them give on average; the transfer
function is tau = f(sigma), the scale of the weights along each eigenvector of the inputs' covariance. Several runs under
one label (seeds) make a mean and a standard deviation.

  tools/analysis/alignment.py
  tools/analysis/alignment.py language=RUN0 language=RUN1 random=RUN0 random=RUN1 --max-samples 2000
  tools/analysis/alignment.py --networks 10 --optimizer adam --lr 1e-3
  tools/analysis/alignment.py --networks 0 CONFIG.py,CHECKPOINT.pth --layer backbone.conv1

Written to --out: alignment.png, .pdf and .csv, and the points of the transfer functions, alignment_transfer.csv. What is
done is kept there, and not done again.
"""
import argparse
from typing import Optional, Sequence

from lbbt_mm import argument_types
from .arguments import TRAINED, add_output, add_samples, run_figure


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='*', metavar='RUN', help=f'{TRAINED}; none: the networks of the theorem alone')
    parser.add_argument('--layer', default='backbone.patch_embed.projection', metavar='NAME',
                        help='the convolution that sees the images; default: %(default)s')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train',
                        help='whose patches; augmented as the config says; default: train')
    parser.add_argument('--rotations', type=argument_types.count, default=100, metavar='N',
                        help='random rotations for the level of chance; default: %(default)s')
    add_samples(parser, 1000)
    add_output(parser, 'alignment')
    _add_network(parser.add_argument_group('networks of the theorem'))
    args = parser.parse_args(arguments)
    if not args.networks and not args.runs:
        parser.error('--networks 0 without a run leaves nothing to show. Name runs, or leave it out')
    return args


def _add_network(group) -> None:
    group.add_argument('--networks', type=argument_types.whole_number(0, 1000), default=5, metavar='N',
                       help='how many, each with data, labels and start of its own; 0: none; default: %(default)s')
    group.add_argument('--steps', type=argument_types.count, default=3000, metavar='N', help='default: %(default)s')
    group.add_argument('--dimensions', type=argument_types.count, default=30, metavar='D', help='default: %(default)s')
    group.add_argument('--width', type=argument_types.count, default=512, metavar='N',
                       help='weight vectors of the first layer; default: %(default)s')
    group.add_argument('--inputs', type=argument_types.whole_number(0, 10**6), default=1000, metavar='N',
                       help='that have labels to learn; 0 draws inputs and labels anew at each step; default: %(default)s')
    group.add_argument('--activation', choices=('relu', 'gelu', 'linear'), default='relu', help='default: relu')
    group.add_argument('--optimizer', choices=('sgd', 'adam'), default='sgd',
                       help='the theorem does not hold for adam: its steps depend on the axes of the weights; default: sgd')
    group.add_argument('--lr', type=argument_types.positive, default=0.1, metavar='LR', help='default: %(default)s')


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'alignment_measures')


if __name__ == '__main__':
    import sys
    sys.exit(main())
