"""Language Bias Bridge Training, both stages: the bridge on random labels, then probes on its backbone.

Each training goes through tools/train.py (with several GPUs tools/dist_train.sh). What is done is not done again, and what
was interrupted is resumed: give the same command.

  tools/lbbt.py configs/small/bridge_gpt2_imagefolder.py --probe configs/small/probe_gpt2_imagefolder.py

Written to --work-dir: bridge/, a folder for each probe named after its config, results.csv and results.json (beside the
metrics of the last validation, named in `validated`, both have the last values of the training logs).
"""
import argparse
from pathlib import Path
from typing import Optional, Sequence

from lbbt_mm import argument_types
from lbbt_mm.launch.quiet_imports import quiet_imports
from lbbt_mm.launch.user_errors import run_tool


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='config of the bridge')
    parser.add_argument('--probe', nargs='+', type=Path, action='extend', default=[], metavar='PROBE_CONFIG',
                        help='configs of the second stage (linear probe, fine-tuning), with an init_cfg of type '
                        'lbbt_mm.BridgeInit; the checkpoint in it is filled in')
    parser.add_argument('--work-dir', type=Path, help='folder of all stages; default: work_dirs/NAME_OF_CONFIG-lbbt')
    parser.add_argument('--checkpoint', choices=('last', 'best'), default='last',
                        help='which checkpoint of the bridge the probes take; best: that of save_best. Default: last')
    parser.add_argument('--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
                        help='override settings of the bridge\'s config. A probe gets those too that begin with '
                        'model.backbone., and others of model., data_preprocessor. or a data_root if its config has '
                        'that very key')
    parser.add_argument('--probe-cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
                        help='override settings of every probe\'s config')
    parser.add_argument('--gpus', type=argument_types.count, default=1, metavar='N',
                        help='GPUs for each training; default: 1')
    parser.add_argument('--fresh', action='store_true', help='remove the runs of these stages, and start again')
    args = parser.parse_args(arguments)
    args.probe = list(dict.fromkeys(args.probe))
    names = [probe.stem for probe in args.probe]
    if len(set(names)) < len(names) or 'bridge' in names:
        parser.error(f'--probe {" ".join(map(str, args.probe))}: each needs a file name of its own, which names its folder, '
                     'and none can be called bridge')
    args.work_dir = (args.work_dir or Path('work_dirs') / f'{args.config.stem}-lbbt').resolve()
    return args


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""

    def run() -> int:
        args = parse_args(arguments)
        quiet_imports()
        from .bridge_and_probes import run  # what trains is imported when something is to be trained
        return run(args)

    return run_tool(run)


if __name__ == '__main__':
    import sys
    sys.exit(main())
