"""Train a model from a config of lbbt_mm or of any mm project."""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # works without being installed

from lbbt_mm.engine.launch import (add_run_arguments, build_runner, check_datasets, enable_amp,
                                   enable_auto_scale_lr, load_config, pretrained_files, record_language_config,
                                   resume_from, resume_path, start_processes, stop_processes)
from lbbt_mm.engine.safe_checkpoints import refuse_unsafe_checkpoints


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--amp', action='store_true', help='mixed precision; bfloat16 on CPUs')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the total batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from CHECKPOINT, or from the latest one in the work directory')
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Train."""
    args = parse_args()
    cfg = load_config(args)
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        enable_auto_scale_lr(cfg)
    if args.resume is not None:
        resume_from(cfg, args.resume)
    record_language_config(cfg)
    check_datasets(cfg)
    refuse_unsafe_checkpoints([resume_path(cfg), *pretrained_files(cfg.get('model'))], args.trust_checkpoint)
    start_processes(cfg)
    build_runner(cfg).train()
    stop_processes()


if __name__ == '__main__':
    main()
