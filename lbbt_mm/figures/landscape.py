"""The loss around a run's training, on a plane through parameter space (LBBT, Fig. 4), several runs side by side.

The plane is theta_0 + alpha d1 + beta d2: theta_0 is the start of the training, d1 leads to its end, at alpha 1, and d2 is
random and orthogonal to d1. The loss is the run's own, in evaluation mode, the mean over some training images with the
labels that it is trained on. Parameters that did not move take no part; buffers are those of the end of d1.

  tools/analysis/landscape.py language=RUN random=RUN
  tools/analysis/landscape.py language=RUN random=RUN --norm filter --norm-of weights --alphas -1 2 --points 41
  tools/analysis/landscape.py language=RUN --from RUN/epoch_1.pth --to RUN/epoch_5.pth
  tools/analysis/landscape.py language=RUN --directions public

--norm says in which parts d2 is orthogonal to d1 and as long as it (--norm-of step) or as the weights (--norm-of weights, as
in Li et al., 2018): in each tensor (layer), each filter, or as a whole (global). --directions public is what the public code
does: two random directions of norm 1, both from -1 to 1 in 20 steps, 10 images, and a smoothed picture; the CSV has the
losses as they are. A point whose loss is not finite is a gap. Rows that are done are kept in --out, and not done again.
"""
import argparse
import os
from typing import Optional, Sequence

from lbbt_mm import argument_types
from .arguments import TRAINED, add_output, add_samples, run_figure

#: What the public code of LBBT does, unless an option says otherwise.
_PUBLIC = dict(alphas=[-1., 1.], betas=[-1., 1.], points=20, max_samples=10)


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='RUN', help=TRAINED)
    parser.add_argument('--directions', choices=('training', 'public'), default='training', help='default: training')
    parser.add_argument('--from', dest='start', default='start', metavar='WHERE',
                        help='theta_0: start (made anew, for which the language model is read), end or a checkpoint of the '
                        'run; default: start')
    parser.add_argument('--to', dest='end', default='end', metavar='WHERE', help='where d1 leads; default: end')
    parser.add_argument('--norm', choices=('layer', 'filter', 'global'), help='of --directions training; default: layer')
    parser.add_argument('--norm-of', choices=('step', 'weights'), help='likewise; default: step')
    for name, axis, default in (('--alphas', 'd1', [-0.5, 1.5]), ('--betas', 'd2', [-1., 1.])):
        parser.add_argument(name, nargs=2, type=float, default=default, metavar=('FIRST', 'LAST'),
                            help=f'of {axis}; default: {default[0]} {default[1]}')
    parser.add_argument('--points', type=argument_types.count, default=21, metavar='N',
                        help='along each side; default: %(default)s')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='default: train')
    add_samples(parser, 64)
    add_output(parser, 'landscape')
    args = parser.parse_args(arguments)
    if args.directions == 'public':
        parser.set_defaults(**_PUBLIC)
        args = parser.parse_args(arguments)
    _refuse_what_makes_no_sense(parser, args)
    args.norm, args.norm_of = args.norm or 'layer', args.norm_of or 'step'
    return args


def _refuse_what_makes_no_sense(parser: argument_types.Parser, args: argparse.Namespace) -> None:
    for name in ('alphas', 'betas'):
        first, last = getattr(args, name)
        if not first < last:  # NaN too
            parser.error(f'--{name} {first} {last}: expected the lower one first')
    if args.points < 3:
        parser.error(f'--points {args.points}: expected 3 or more')
    for option, value in (('--norm', args.norm), ('--norm-of', args.norm_of)):
        if value and args.directions == 'public':
            parser.error(f'{option} {value}: --directions public draws both directions with norm 1. Leave one out')
    if len(args.runs) > 1 and not {args.start, args.end} <= {'start', 'end'}:
        parser.error('--from and --to name checkpoints of one run, and several runs were given. Give one')
    for option, where in (('--from', args.start), ('--to', args.end)):
        if where not in ('start', 'end') and not os.path.isfile(where):
            parser.error(f'{option} {where}: no such file; expected start, end or a checkpoint of the run. Correct the path')


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'landscape_planes')


if __name__ == '__main__':
    import sys
    sys.exit(main())
