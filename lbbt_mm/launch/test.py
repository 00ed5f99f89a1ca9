"""Test a trained model from a config of lbbt_mm or of any mm project."""
import argparse
from pathlib import Path
from typing import Optional, Sequence

from lbbt_mm.argument_types import Parser
from .arguments import add_run_arguments
from .user_errors import run_tool


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='checkpoint to test')
    parser.add_argument('--out', metavar='FILE.pkl', help='write the predictions to a file, with --tta the augmented ones')
    parser.add_argument('--show-dir', help='folder for pictures of the predictions, with --tta the augmented ones')
    parser.add_argument('--amp', action='store_true', help='mixed precision; bfloat16 on CPUs')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation; of a segmentor also the test without it: single- and multi-scale mIoU in one table')
    add_run_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_tool(lambda: test(parse_args(arguments)), holds_output=True)


def test(args: argparse.Namespace) -> None:
    """Test."""
    from .quiet_imports import quiet_imports
    quiet_imports()
    from mmengine.logging import print_log
    from mmengine.registry import METRICS

    from lbbt_mm.checks import check_datasets, check_settings
    from lbbt_mm.files.overwriting import keep_training_config, refuse_overwriting_config, refuse_overwriting_output
    from lbbt_mm.files.safe_checkpoints import local_checkpoint, refuse_unsafe_checkpoints
    from .attempt import undone_if_refused
    from .checkpoints import check_fit
    from .processes import build_runner, start_processes, stop_processes
    from .settings import load_config
    from .testing import dump_metric, scale_table, tests_of
    cfg = load_config(args, ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'))
    check_settings(cfg, ['test_dataloader'])
    local = local_checkpoint(args.checkpoint)
    if local is not None and not Path(local).is_file():
        raise FileNotFoundError(f'{args.checkpoint}: no such checkpoint. Give a .pth file that tools/train.py wrote.')
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.work_dir is None:  # the runner dumps its config: not over the one that training left for resuming
        cfg.work_dir = str(Path(cfg.work_dir) / 'test')
    refuse_overwriting_config(args.config, cfg.work_dir)
    refuse_overwriting_output(args.out, args.show_dir)
    keep_training_config(cfg)
    if args.amp:
        cfg.test_cfg.fp16 = True  # mmengine's name; its autocast is bfloat16 on CPUs
    check_datasets(cfg, loaders=('test_dataloader', ))
    refuse_unsafe_checkpoints([args.checkpoint], args.trust_checkpoint)
    tests = tests_of(cfg, args.tta, args.show_dir)
    dump = dump_metric(cfg.get('default_scope'), args.out) if args.out else None
    for one in tests.values():
        start_processes(one)
    scores = {}
    with undone_if_refused([one.work_dir for one in tests.values()]):
        for name, one in tests.items():
            runner = build_runner(one)
            check_fit(runner, one, args)
            if dump and one is cfg:  # with test-time augmentation, its predictions
                runner.test_evaluator.metrics.append(METRICS.build(dump))
            scores[name] = runner.test()
    if len(tests) > 1:
        print_log(f'\n{scale_table(scores)}', logger='current')
    stop_processes()


if __name__ == '__main__':
    import sys
    sys.exit(main())
