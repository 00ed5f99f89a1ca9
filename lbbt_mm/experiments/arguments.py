"""What the command lines of experiments have in common."""
import argparse
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional, Sequence, Tuple

from lbbt_mm import argument_types
from lbbt_mm.files.config_paths import refuse_absent_config
from lbbt_mm.launch.quiet_imports import quiet_imports
from lbbt_mm.launch.user_errors import run_tool


def start(parse_args: Callable[[Optional[Sequence[str]]], argparse.Namespace], arguments: Optional[Sequence[str]]) -> int:
    """Read a command line and do what it asks for.

    Args:
        parse_args: Reads it.
        arguments: Given to it; None for those of the process.

    Returns:
        int: The exit status.
    """

    def run() -> int:
        args = parse_args(arguments)
        for path in (args.config, *args.probes):
            refuse_absent_config(path)
        quiet_imports()
        from .experiment import run_experiment  # what trains is imported when something is to be trained
        return run_experiment(args)

    return run_tool(run)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add what is trained, in stages, and how it runs."""
    parser.add_argument('--probe', dest='probes', nargs='+', type=Path, action='extend', default=[], metavar='PROBE_CONFIG',
                        help='then train these from a checkpoint of each run (linear probe, fine-tuning): configs with an '
                        'init_cfg of type lbbt_mm.BridgeInit, whose checkpoint is filled in. Their metrics are called '
                        'NAME_OF_PROBE_CONFIG/METRIC')
    parser.add_argument('--checkpoint', choices=('last', 'best'), default='last',
                        help='which checkpoint the probes take; best: that of '
                        'default_hooks.checkpoint.save_best, which has to name one metric. Default: last')
    parser.add_argument('--probe-cfg-options', dest='probe_options', nargs='+', action='extend', default=[],
                        metavar='KEY=VALUE', help='override settings of every probe\'s config')
    add_run_options(parser, '. A probe gets those too that begin with model.backbone., and others of model., '
                    'data_preprocessor. or a data_root if its config has that very key')


def add_run_options(parser: argparse.ArgumentParser, of_options: str = '') -> None:
    """Add how the runs of an experiment are trained.

    Args:
        parser: Of the tool.
        of_options: What its help says of ``--cfg-options`` beside what they are.
    """
    parser.add_argument('--cfg-options', dest='options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
                        help=f'override settings of the config{of_options}')
    parser.add_argument('--gpus', type=argument_types.gpus, default=[], metavar='0,1',
                        help='the GPUs to train on; default: those that CUDA shows')
    parser.add_argument('--fresh', action='store_true', help='remove the runs that are there, and start again')
    parser.add_argument('--report-only', action='store_true', help='no training: tables and curves of the runs so far; '
                        'without --fresh and --dry-run')
    parser.add_argument('--dry-run', action='store_true', help='no training: print the commands')


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add how many trainings run at once, and with how many GPUs each."""
    parser.add_argument('--gpus-per-training', dest='processes', type=argument_types.count, default=1, metavar='N',
                        help='GPUs (without any: processes) of each training, each with the config\'s batch; default: 1')
    parser.add_argument('--jobs', type=argument_types.count, metavar='N',
                        help='trainings at once; default: as many as --gpus are enough for, else 1')


def finish(args: argparse.Namespace, parser: argparse.ArgumentParser, ending: str = '') -> None:
    """Fill in what the options leave open.

    Args:
        args: The options; ``jobs`` may be None, and with an ending ``out``.
        parser: Where errors go.
        ending: Of the name of the default folder.
    """
    for name in {'arms', 'seeds', 'lrs', 'init_stds', 'probes', 'metrics', 'baselines'} & set(vars(args)):
        setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    unread = [flag for flag, given in (('--fresh', args.fresh), ('--dry-run', args.dry_run)) if given]
    if args.report_only and unread:
        parser.error(f'--report-only {" ".join(unread)}: a report removes no runs and prints no commands. Leave one out')
    size = args.processes
    if len(args.gpus) % size:
        parser.error(f'--gpus {",".join(args.gpus)} --gpus-per-training {size}: expected a multiple of {size} GPUs, since '
                     'each training gets its own. Name more or fewer')
    args.gpu_groups = [','.join(args.gpus[start:start + size]) for start in range(0, len(args.gpus), size)]
    args.jobs = args.jobs or max(1, len(args.gpu_groups))
    args.out = (args.out or Path('work_dirs') / f'{args.config.stem}-{ending}').resolve()


def read_shard(text: Optional[str], env: Mapping[str, str]) -> Tuple[int, int]:
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
