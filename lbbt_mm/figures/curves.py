"""Curves over training (LBBT, Figs. 3, 8, 9, 12, 13), from the logs of runs of any mm project, with bands over seeds.

Runs under one label are the seeds of one arm: the line is their mean, the band a standard deviation to either side, where
all of them have a value. A run that diverged ends in a cross, one that is shorter than others in a bar.

  tools/analysis/curves.py language=RUN0 language=RUN1 random=RUN0 random=RUN1
  tools/analysis/curves.py EXPERIMENT/runs/* --metric loss train/accuracy/top1
  tools/analysis/curves.py pretrained=WORK_DIR scratch=WORK_DIR --metric loss coco/bbox_mAP

A run is a folder with */vis_data/scalars.json, as mmengine writes it. A metric of validations is drawn from these, another
one from the training's records; x counts epochs or iterations, as the logs do.
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
    parser.add_argument('--metric', dest='metrics', nargs='+', action='extend', default=[], metavar='METRIC',
                        help='a panel each; default: loss, of auxiliary training the main path\'s without its weight '
                        '(main_unweighted), and the metrics of the last validations')
    add_output(parser, 'curves')
    return parser.parse_args(arguments)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'run_curves')


if __name__ == '__main__':
    import sys
    sys.exit(main())
