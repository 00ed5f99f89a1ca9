"""Language Bias Bridge Training, both stages: the bridge on random labels, then probes on its backbone.

It is the experiment of tools/compare_arms.py with a single run, whose arm and seeds are the config's own. Each training
goes through tools/train.py. What is done is not done again, and what was interrupted is resumed: give the same command.

  tools/lbbt.py configs/small/bridge_gpt2_imagefolder.py --probe configs/small/probe_gpt2_imagefolder.py
  tools/lbbt.py BRIDGE --probe PROBE --gpus 0,1,2,3

Written to --work-dir: runs/ARM-seedS-lrLR/, the bridge, there probes/PROBE_NAME/; results.csv (its row has the last values
of the training logs too), summary.csv and summary.md, curves.png, .pdf and .csv.
"""
import argparse
from pathlib import Path
from typing import Optional, Sequence

from lbbt_mm import argument_types
from .arguments import add_common_options, finish, start


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(tool='lbbt.py', jobs=1, shard=(0, 1), keep_going=False, report=False)
    parser.add_argument('config', type=Path, help='config of the bridge')
    parser.add_argument('--work-dir', dest='out', type=Path, help='folder of all stages; default: '
                        'work_dirs/NAME_OF_CONFIG-lbbt')
    add_common_options(parser)
    parser.add_argument('--gpus-per-training', dest='processes', type=argument_types.count, metavar='N',
                        help='GPUs (without any: processes) of each training, each with the config\'s batch; default: all '
                        'of --gpus, else 1')
    args = parser.parse_args(arguments)
    if args.processes is None and len(args.gpus) == 1 and args.gpus[0].isdigit():
        number = args.gpus[0]
        parser.error(f'--gpus {number}: expected the GPUs themselves, with commas between, as in compare_arms.py; it was '
                     f'their number before. For {number} GPUs give --gpus-per-training {number}; for GPU {number} alone add '
                     '--gpus-per-training 1')
    args.processes = args.processes or max(1, len(args.gpus))
    finish(args, parser, 'lbbt')
    return args


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return start(parse_args, arguments)


if __name__ == '__main__':
    import sys
    sys.exit(main())
