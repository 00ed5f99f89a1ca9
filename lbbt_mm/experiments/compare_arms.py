"""The matched experiment: train a config from several start weights (arms) and seeds, and compare what comes out.

Works with every config whose model has one `language` dict. Two runs of the same seed differ in one key, language.arm.
Seed s sets language.seed=s and randomness.seed=s; the data, random labels included, are the config's own in every run.
Runs go through tools/train.py. What is done is not done again, and what was interrupted is resumed: give the same command.

  tools/compare_arms.py CONFIG --lrs 1e-4 3e-4 1e-3 --seeds 0 1 2 --metric train/accuracy/top1
  tools/compare_arms.py CONFIG --probe PROBE --metric PROBE_NAME/accuracy/top1 --jobs 4 --gpus 0,1,2,3
  sbatch --array=0-7 ... tools/compare_arms.py CONFIG ...; then the same with --report-only

Learning rate (--lrs): the rule `baseline`, that of the LBBT paper (section 6), trains the baseline arm with each rate and
the first seed and gives the best to all arms; `per-arm` does so for each arm by itself. The choice is made on the metric
that you name: to stay clear of the test set, name one of a held-out split. The arm random_tuned chooses its standard
deviation in the same way (--stds): how far does scale alone get?

Written to --out: results.csv (a row a run), summary.csv and summary.md, curves.png and curves.csv,
runs/ARM-seedS-lrLR[-stdSTD]/.
"""
import argparse
import os
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

from lbbt_mm import argument_types
from lbbt_mm.language.arms import ARMS
from lbbt_mm.launch.quiet_imports import quiet_imports
from lbbt_mm.launch.user_errors import run_tool


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='path of the config')
    parser.add_argument('--out', type=Path, help='folder of the experiment; default: work_dirs/NAME_OF_CONFIG-arms')
    what = parser.add_argument_group('what is compared')
    what.add_argument('--arms', nargs='+', choices=ARMS, default=['language', 'random', 'shuffled', 'moment_matched'],
                      metavar='ARM', help=f'some of {", ".join(ARMS)}; default: language random '
                      'shuffled moment_matched')
    what.add_argument('--seeds', nargs='+', type=argument_types.seed, default=[0, 1, 2], metavar='SEED',
                      help='default: 0 1 2')
    what.add_argument('--baseline-arm', default='random', metavar='ARM', help='what the others are compared with; '
                      'default: random')
    what.add_argument('--probe', nargs='+', type=Path, action='extend', default=[], metavar='PROBE_CONFIG',
                      help='then train these from the last checkpoint of each run (init_cfg of type lbbt_mm.BridgeInit). '
                      'They get those --cfg-options too that begin with model.backbone., and others of model., '
                      'data_preprocessor. or a '
                      'data_root if their config has that very key. Their metrics are called NAME_OF_PROBE_CONFIG/METRIC')
    what.add_argument('--metric', nargs='+', action='extend', default=[], metavar='METRIC',
                      help='what goes into tables and curves; default: all metrics of the last validation')
    what.add_argument('--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
                      help='override settings of the config, in every run')
    what.add_argument('--probe-cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
                      help='override settings of the probes\' configs')
    rate = parser.add_argument_group('learning rate')
    rate.add_argument('--lrs', nargs='+', type=argument_types.positive, default=[], metavar='LR',
                      help='values of optim_wrapper.optimizer.lr to choose from; default: the config\'s for all')
    rate.add_argument('--stds', nargs='+', type=argument_types.positive, default=[], metavar='STD',
                      help='standard deviations for the arm random_tuned to choose from: its blocks are drawn with each, at '
                      'each of its learning rates (with the first seed), and the best is compared')
    rate.add_argument('--lr-rule', choices=('baseline', 'per-arm'), default='baseline', help='default: baseline')
    rate.add_argument('--select-metric', metavar='METRIC', help='what chooses the rate; default: the first --metric, '
                      'else the first of the validation')
    rate.add_argument('--lower-is-better', action='store_true', default=None,
                      help='choose its lowest value; default: only where its name has "loss" in it')
    how = parser.add_argument_group('how it runs')
    how.add_argument('--jobs', type=argument_types.count, metavar='N',
                     help='trainings at once; default: one a GPU of --gpus, else 1')
    how.add_argument('--gpus', type=argument_types.gpus, default=[], metavar='0,1',
                     help='GPUs to use; each training gets one')
    how.add_argument('--shard', metavar='I/N', help='do share I (from 0) of the runs; default: by SLURM_ARRAY_TASK_ID, of '
                     'arrays like --array=0-7 (give it for a task that is submitted again alone)')
    how.add_argument('--keep-going', action='store_true', help='go on after a training that failed')
    how.add_argument('--fresh', action='store_true', help='remove the runs that are there, and start again')
    how.add_argument('--report-only', action='store_true', help='no training: tables and curves of what is there')
    how.add_argument('--dry-run', action='store_true', help='no training: print the commands')
    args = parser.parse_args(arguments)
    for name in ('arms', 'seeds', 'lrs', 'stds', 'probe', 'metric'):
        setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    if args.baseline_arm not in args.arms:
        parser.error(f'--baseline-arm {args.baseline_arm} is not among --arms {" ".join(args.arms)}: add it there, or name '
                     'one that is')
    args.jobs = args.jobs or max(1, len(args.gpus))
    try:
        args.shard = read_shard(args.shard, os.environ)
    except ValueError as error:
        parser.error(str(error))
    if args.fresh and args.shard != (0, 1):
        parser.error('--fresh and shares of the runs: each would remove the runs of the others. Remove the runs first')
    args.out = (args.out or Path('work_dirs') / f'{args.config.stem}-arms').resolve()
    return args


def read_shard(text: Optional[str], env: Dict[str, str]) -> Tuple[int, int]:
    """The share of the runs that this process does, from ``--shard`` or from slurm.

    Returns:
        tuple: Its index from 0, and the number of shares.

    Raises:
        ValueError: If the text is not a share, or the slurm array does not tell which it is.
    """
    if text is None and 'SLURM_ARRAY_TASK_ID' in env:
        return _slurm_share({name.split('_')[-1]: int(value) for name, value in env.items()
                             if name.startswith('SLURM_ARRAY_TASK_')})
    try:
        index, count = map(int, (text or '0/1').split('/'))
    except ValueError:
        index, count = -1, 0
    if not 0 <= index < count:
        raise ValueError(f'--shard {text}: expected I/N with I from 0 to N - 1, for example 0/4')
    return index, count


def _slurm_share(task: Dict[str, int]) -> Tuple[int, int]:
    count, step = task.get('COUNT', 1), max(1, task.get('STEP', 1))
    first = task.get('MIN', 0)
    last = task.get('MAX', first + (count - 1) * step)
    # a list such as --array=0,3,5, or one task of a larger array that was submitted again
    if count != (last - first) // step + 1 or count == 1 and task['ID'] > 1:
        raise ValueError(f'task {task["ID"]} of a slurm array of {count} from {first} to {last} does not say which share of '
                         'the runs it has: expected an array like --array=0-7. Give --shard I/N; a task that is submitted '
                         'again needs the share it had')
    return (task['ID'] - first) // step, count


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""

    def run() -> int:
        args = parse_args(arguments)
        quiet_imports()
        from .arm_runs import run  # what trains is imported when something is to be trained
        return run(args)

    return run_tool(run)


if __name__ == '__main__':
    import sys
    sys.exit(main())
