"""The matched experiment: train a config from several start weights (arms) and seeds, and compare what comes out.

Works with every config whose model has one `language` dict. Two runs of the same seed differ in one key, language.arm.
Seed s sets language.seed=s and randomness.seed=s; the data, random labels included, are the config's own in every run.
Runs go through tools/train.py. What is done is not done again, and what was interrupted is resumed: give the same command.

  tools/compare_arms.py CONFIG --lrs 1e-4 3e-4 1e-3 --seeds 0 1 2 --metric train/accuracy/top1
  tools/compare_arms.py CONFIG --probe PROBE --metric PROBE_NAME/accuracy/top1 --gpus 0,1,2,3
  tools/compare_arms.py CONFIG --sources A=HUB_ID_OR_FOLDER B=FILE.gguf
  sbatch --array=0-7 ... tools/compare_arms.py CONFIG ...; then the same with --report-only

Learning rate (--lrs): the rule `baseline`, that of the LBBT paper (section 6), trains the baseline arm with each rate and
the first seed and gives the best to all arms; `per-arm` does so for each arm by itself. The choice is made on the metric
that you name: to stay clear of the test set, name one of a held-out split. The arm random_tuned chooses its standard
deviation in the same way (--stds): how far does scale alone get? Several language models (--sources) are several such
experiments in one table: each arm is compared with the baseline of its own language model.

Other settings (--cells, --cell): each combination is a cell, and each arm is trained in each cell, a column of the table.
A probe takes over what it would of --cfg-options.

  tools/compare_arms.py CONFIG --cells LLMBackbone.attention=bidirectional,causal RandomLabel.exclude_true=False,True
  tools/compare_arms.py CONFIG --cell mine --cell theirs LLMBackbone.attention=causal LLMBackbone.out_type=last_token

Written to --out: results.csv (one row for each run), summary.csv and summary.md, curves.png, .pdf and .csv,
runs/[CELL-][SOURCE-]ARM-seedS-lrLR[-stdSTD]/, there probes/PROBE_NAME/; with --report also report.html and, in report/, the
figures and numbers that it shows.
"""
import argparse
import os
from pathlib import Path
from typing import Optional, Sequence

from lbbt_mm import argument_types
from lbbt_mm.language.arms import ARMS
from .arguments import add_common_options, add_job_options, finish, read_shard, start
from .cells import combine, read_levels
from .source import Source


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(tool='compare_arms.py')
    parser.add_argument('config', type=Path, help='path of the config')
    parser.add_argument('--out', type=Path, help='folder of the experiment; default: work_dirs/NAME_OF_CONFIG-arms')
    add_common_options(parser)
    parser.add_argument('--report', action='store_true', help='in the end write report.html, one page with all figures of '
                        'the runs, which takes minutes (see tools/analysis/report.py); add --report-only to do so without '
                        'training')
    _add_comparison(parser.add_argument_group('what is compared'))
    _add_rules(parser.add_argument_group('learning rate'))
    _add_shares(parser.add_argument_group('several trainings at once'))
    args = parser.parse_args(arguments)
    finish(args, parser, 'arms')
    if args.baseline is None:
        args.baseline = args.arms[0] if len(args.arms) == 1 else 'random'
    if args.baseline not in args.arms:
        parser.error(f'--baseline-arm {args.baseline} is not among --arms {" ".join(args.arms)}: add it there, or name '
                     'one that is')
    if len({source.name for source in args.sources}) < len(args.sources):
        parser.error('--sources: each language model needs a name of its own')
    try:
        args.cells = combine(args.cells, args.cell)
        args.shard = read_shard(args.shard, os.environ)
    except ValueError as error:
        parser.error(str(error))
    if args.fresh and args.shard != (0, 1):
        parser.error('--fresh and shares of the runs: each would remove the runs of the others. Remove the runs first')
    return args


def _add_comparison(what) -> None:
    what.add_argument('--arms', nargs='+', choices=ARMS, default=['language', 'random', 'shuffled', 'moment_matched'],
                      metavar='ARM', help=f'some of {", ".join(ARMS)}; default: language random shuffled moment_matched')
    what.add_argument('--sources', nargs='+', type=Source.read, default=[], metavar='NAME=CHECKPOINT',
                      help='language models to make each arm from: a hub id, folder or GGUF file; default: the config\'s')
    what.add_argument('--cells', nargs='+', type=read_levels, action='extend', default=[], metavar='KEY=V1,V2',
                      help='settings that each arm is trained with, in every combination; a key as in --cfg-options')
    what.add_argument('--cell', nargs='+', action='append', default=[], metavar=('NAME', 'KEY=VALUE'),
                      help='settings that change together, by a name; give one --cell for each')
    what.add_argument('--seeds', nargs='+', type=argument_types.seed, default=[0, 1, 2], metavar='SEED',
                      help='default: 0 1 2')
    what.add_argument('--baseline-arm', dest='baseline', metavar='ARM',
                      help='what the others are compared with; default: random, or the one arm where there is one')
    what.add_argument('--metric', dest='metrics', nargs='+', action='extend', default=[], metavar='METRIC',
                      help='what goes into tables and curves; default: all metrics of the last validation')


def _add_rules(rate) -> None:
    rate.add_argument('--lrs', nargs='+', type=argument_types.positive, default=[], metavar='LR',
                      help='values of optim_wrapper.optimizer.lr to choose from; default: the config\'s for all')
    rate.add_argument('--stds', dest='init_stds', nargs='+', type=argument_types.positive, default=[], metavar='STD',
                      help='standard deviations for the arm random_tuned to choose from: its blocks are drawn with each, at '
                      'each of its learning rates (with the first seed), and the best is compared')
    rate.add_argument('--lr-rule', choices=('baseline', 'per-arm'), default='baseline', help='default: baseline')
    rate.add_argument('--select-metric', metavar='METRIC', help='what chooses the rate; default: the first --metric, '
                      'else the first of the validation')
    rate.add_argument('--lower-is-better', action='store_true', default=None,
                      help='choose its lowest value; default: only where its name has "loss" in it')


def _add_shares(how) -> None:
    add_job_options(how)
    how.add_argument('--shard', metavar='I/N', help='do share I (from 0) of the runs; default: by SLURM_ARRAY_TASK_ID, of '
                     'arrays like --array=0-7 (give it for a task that is submitted again alone)')
    how.add_argument('--keep-going', action='store_true', help='go on after a training that failed')


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return start(parse_args, arguments)


if __name__ == '__main__':
    import sys
    sys.exit(main())
