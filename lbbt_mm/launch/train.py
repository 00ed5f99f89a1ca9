"""Train a model from a config of lbbt_mm or of any mm project."""
import argparse
from typing import Optional, Sequence

from lbbt_mm.argument_types import Parser
from lbbt_mm.files.config_paths import refuse_absent_config
from .arguments import add_run_arguments
from .user_errors import run_tool


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the total batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from CHECKPOINT, or from the latest one in the work directory')
    add_run_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_tool(lambda: train(parse_args(arguments)), holds_output=True)


def train(args: argparse.Namespace) -> None:
    """Train."""
    refuse_absent_config(args.config)
    from .quiet_imports import quiet_imports
    quiet_imports()
    from lbbt_mm.checks import check_datasets, check_settings
    from lbbt_mm.checks.image_folders import check_labels_once
    from lbbt_mm.files.overwriting import refuse_overwriting_config
    from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
    from .attempt import undone_if_refused
    from .checkpoint_owner_hook import CheckpointOwnerHook
    from .checkpoints import (check_fit, find_resumed_checkpoint, pretrained_files, save_whole_checkpoints,
                              say_what_is_overwritten)
    from .resuming import check_resumed_config
    from .settings import enable_amp, enable_auto_scale_lr, load_config, record_language_config
    from .work_directory import checkpoint_folder, only_training, refuse_other_owner
    cfg = load_config(args, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'))
    refuse_overwriting_config(args.config, cfg.work_dir)
    check_settings(cfg)
    refuse_other_owner(cfg.work_dir, cfg)
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        enable_auto_scale_lr(cfg)
    resumed, notes = find_resumed_checkpoint(cfg, args.resume)
    record_language_config(cfg)
    checkpoints = [resumed or cfg.get('load_from'), *pretrained_files(cfg.get('model'))]
    refuse_unsafe_checkpoints(checkpoints, args.trust_checkpoint)
    if resumed:
        notes += check_resumed_config(cfg, resumed, args.allow_change, args.trust_checkpoint)
    check_datasets(cfg)
    from .processes import build_runner, start_processes, stop_processes  # brings the mm codebases, which take seconds
    with undone_if_refused([cfg.work_dir, checkpoint_folder(cfg.work_dir, cfg)], only_training(cfg.work_dir, cfg)):
        say_what_is_overwritten(cfg, resumed)
        save_whole_checkpoints(cfg)
        start_processes(cfg)
        runner = build_runner(cfg)
        check_labels_once(runner, checked=True)  # check_datasets did
        check_fit(runner, cfg, args, notes, resumed)
        runner.register_hook(CheckpointOwnerHook(checkpoint_folder(cfg.work_dir, cfg)))
        runner.train()
        stop_processes()


if __name__ == '__main__':
    import sys
    sys.exit(main())
