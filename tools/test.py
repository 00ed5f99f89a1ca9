"""Test a trained model from a config of lbbt_mm or of any mm project."""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # works without being installed

from mmengine.registry import METRICS

from lbbt_mm.engine.dataset_checks import check_coco_datasets
from lbbt_mm.engine.label_checks import check_random_labels
from lbbt_mm.engine.launch import (add_run_arguments, build_runner, load_config, start_processes,
                                   stop_processes)
from lbbt_mm.engine.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.engine.testing import dump_metric, enable_painting, enable_tta


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='checkpoint to test')
    parser.add_argument('--out', metavar='FILE.pkl', help='write the predictions to a file')
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--amp', action='store_true', help='mixed precision; bfloat16 on CPUs')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Test."""
    args = parse_args()
    cfg = load_config(args)
    if not Path(args.checkpoint).is_file() and '://' not in args.checkpoint:
        raise FileNotFoundError(f'{args.checkpoint}: no such checkpoint. Give a .pth file that tools/train.py wrote.')
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.work_dir is None:  # the runner dumps its config: not over the one that training left for resuming
        cfg.work_dir = str(Path(cfg.work_dir) / 'test')
    if args.show_dir:
        enable_painting(cfg, args.show_dir)
    if args.amp:
        cfg.test_cfg.fp16 = True  # mmengine's name; its autocast is bfloat16 on CPUs
    if args.tta:
        enable_tta(cfg)
    dump = dump_metric(cfg.get('default_scope'), args.out) if args.out else None
    check_coco_datasets(cfg, loaders=('test_dataloader', ))
    check_random_labels(cfg, loaders=('test_dataloader', ))
    refuse_unsafe_checkpoints([args.checkpoint], args.trust_checkpoint)
    start_processes(cfg)
    runner = build_runner(cfg)
    if dump:
        runner.test_evaluator.metrics.append(METRICS.build(dump))
    runner.test()
    stop_processes()


if __name__ == '__main__':
    main()
