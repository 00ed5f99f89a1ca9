"""Numbers of the loss's Hessian (LBBT, Table 15), and its spectral density: as a run began and as it ended.

The loss is the run's own, in evaluation mode, the mean over some training images with the labels that it is trained on.
Its Hessian is known by products with vectors (each costs about four gradients); it is never formed. Trace: Hutchinson's
estimator. Density and extreme eigenvalues: Lanczos from random vectors. Beside each number stands the standard error over
the draws or, where several runs have one label (seeds), the standard deviation over them. docs/analysis.md defines all
numbers; the paper does not.

  tools/analysis/hessian.py language=RUN random=RUN
  tools/analysis/hessian.py language=RUN random=RUN --at start --max-samples 32 --draws 5 --steps 100 --leading 20
  tools/analysis/hessian.py CONFIG.py,CHECKPOINT.pth --at end --device cuda

Kurtosis, participation ratio and ratio of negative eigenvalues are given of all eigenvalues, and of the --leading ones that
are largest in magnitude: they are far apart, and the paper does not say of which it speaks. Where fewer were found, or one
has not converged, there is a dash, and a line says why. What is done is kept in --out, and not done again.
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
    parser.add_argument('--steps', type=argument_types.count, default=50, metavar='N',
                        help='products of a Lanczos run; as many vectors are kept; five times --leading are '
                        'mostly enough; default: %(default)s')
    parser.add_argument('--draws', type=argument_types.count, default=3, metavar='N',
                        help='random vectors that Lanczos starts from; default: %(default)s')
    parser.add_argument('--trace-draws', type=argument_types.count, default=10, metavar='N',
                        help='random vectors of the trace, one product each; default: %(default)s')
    parser.add_argument('--leading', type=argument_types.count, default=10, metavar='N',
                        help='eigenvalues that are looked at by themselves; default: %(default)s')
    parser.add_argument('--converged', type=argument_types.positive, default=0.1, metavar='SHARE',
                        help='numbers of single eigenvalues are given where each is known to this share of its magnitude, '
                        'else a dash; default: %(default)s')
    parser.add_argument('--zero', type=argument_types.positive, default=1e-4, metavar='SHARE',
                        help='an eigenvalue of less than this share of the largest one is no negative one; default: '
                        '%(default)s')
    parser.add_argument('--noise', nargs='+', type=argument_types.positive, default=[0.02, 0.04, 0.06, 0.08, 0.1],
                        metavar='SIZE', help='sizes, relative to the weights of each tensor; default: 0.02 to 0.1')
    parser.add_argument('--noise-draws', type=argument_types.count, default=5, metavar='N', help='default: %(default)s')
    parser.add_argument('--along', nargs='+', type=argument_types.positive, default=[0.0005, 0.001, 0.0015, 0.002],
                        metavar='LENGTH', help='of steps along the gradient, relative to the norm of all weights; default: '
                        '0.0005 to 0.002')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='default: train')
    add_samples(parser, 64)
    add_output(parser, 'hessian')
    args = parser.parse_args(arguments)
    if args.steps < 4:
        parser.error(f'--steps {args.steps}: expected 4 or more')
    if args.leading < 3:
        parser.error(f'--leading {args.leading}: expected 3 or more; a decay rate is a slope')
    if args.leading > args.steps:
        parser.error(f'--leading {args.leading} with --steps {args.steps}: as many steps find as many eigenvalues at most. '
                     f'Give --steps {5 * args.leading}, or a lower --leading')
    args.noise, args.along = sorted(set(args.noise)), sorted(set(args.along))
    return args


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'hessian_numbers', curvlinops='curvlinops-for-pytorch>=3,<4')


if __name__ == '__main__':
    import sys
    sys.exit(main())
