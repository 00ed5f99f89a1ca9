"""Whether features tell the true classes apart (LBBT, Fig. 5): as a run began and as it ended.

Features of images, standardised, are embedded in a plane by t-SNE and clustered by KMeans, in the plane and as they are.
Both are measured against the true labels: purity, normalised mutual information, silhouette, and the vote of the nearest
neighbours. Beside each number stands what it is when the labels are permuted among the images. Several runs under one label
(seeds) make a mean and a standard deviation; the picture shows the first.

  tools/analysis/separability.py language=RUN random=RUN
  tools/analysis/separability.py language=RUN random=RUN --stage 5 --colors true clusters

The published figure colours points by the clusters of the plane itself, which are apart whatever the features are
(--colors clusters); the colours of --colors true are the classes. What is done is kept in --out, and not done again.
"""
import argparse
from typing import Optional, Sequence, Union

from lbbt_mm import argument_types
from .arguments import TRAINED, add_output, add_samples, run_figure


def stage(text: str) -> Union[str, int]:
    """A stage of mmpretrain's, or the number of a block."""
    if text.lstrip('-').isdecimal():
        return int(text)
    if text not in ('backbone', 'neck', 'pre_logits'):
        raise argparse.ArgumentTypeError(f'{text}: expected the number of a block, backbone, neck or pre_logits')
    return text


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='RUN', help=TRAINED)
    parser.add_argument('--at', nargs='+', choices=('start', 'end'), default=['start', 'end'],
                        help='of the training; the start is made anew, for which the language model is read; default: both')
    parser.add_argument('--stage', type=stage, default='pre_logits', metavar='STAGE',
                        help='backbone, neck, pre_logits (what the head classifies) or a block from 0, from the end -1; '
                        'default: pre_logits')
    parser.add_argument('--scale', choices=('standard', 'none'), default='standard',
                        help='of features: each with mean 0 and variance 1, or as they are, as in the paper\'s public code; '
                        'default: standard')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='test',
                        help='of train, the true labels count, whatever the model learns; default: test')
    parser.add_argument('--colors', nargs='+', choices=('true', 'clusters'), default=['true'],
                        help='of the points: the classes, or the published figure\'s; default: true')
    parser.add_argument('--perplexity', type=argument_types.positive, default=30., metavar='P', help='of t-SNE; default: 30')
    parser.add_argument('--neighbours', type=argument_types.count, default=10, metavar='K',
                        help='which vote on a class; default: %(default)s')
    parser.add_argument('--permutations', type=argument_types.count, default=20, metavar='N', help='default: %(default)s')
    add_samples(parser, 1000)
    add_output(parser, 'separability')
    return parser.parse_args(arguments)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'separability_planes', sklearn='scikit-learn>=1.3')


if __name__ == '__main__':
    import sys
    sys.exit(main())
