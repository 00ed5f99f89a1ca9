"""The arguments that ``tools/train.py`` and ``tools/test.py`` share. Light: ``--help`` imports this and nothing heavier."""
import argparse

from .config_options import ConfigOptions

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that mm's training and testing tools have in common."""
    several = dict(nargs='+', action='extend', default=[])
    parser.add_argument('--amp', action='store_true', help='mixed precision; bfloat16 on CPUs')
    parser.add_argument(
        '--work-dir',
        help="folder for what a run writes: logs, the config, of a training checkpoints; default: the config's work_dir, "
        'else work_dirs/NAME_OF_CONFIG, and of a test the folder test in it')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override settings of the config, for example model.language.arm=shuffled. TYPE.KEY=VALUE sets it in every '
        'part of that type: RandomLabel.ratio=0.15. Lists: key="[a,b]" or key=a,b')
    parser.add_argument(
        '--leave-out',
        **several,
        metavar='PART',
        help='parts of the model that are not taken from the checkpoint, for example bbox_head.fc_cls; all else has to '
        'fit. A training also reads leave_out=[...] of its config')
    parser.add_argument(
        '--allow-change',
        **several,
        metavar='KEY',
        help='settings that may differ from those that the checkpoint was trained with: a dotted key, a part above it, or '
        'its last name')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how the processes were started')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints that need unpickling, which runs code from the file')
