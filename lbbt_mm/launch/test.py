"""Test a trained model from a config of lbbt_mm or of any mm project."""
import argparse
from typing import Optional, Sequence

from lbbt_mm.argument_types import Parser
from lbbt_mm.files.config_paths import refuse_absent_config
from lbbt_mm.files.overwriting import refuse_overwriting_output
from .arguments import add_run_arguments
from .user_errors import run_tool


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='checkpoint to test')
    parser.add_argument('--out', metavar='FILE.pkl', help='write the predictions to a file, with --tta the augmented ones')
    parser.add_argument('--show-dir', help='folder for pictures of the predictions, with --tta the augmented ones')
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
    refuse_absent_config(args.config)
    refuse_output(args.out, args.show_dir)
    from .quiet_imports import quiet_imports
    quiet_imports()
    from mmengine.logging import print_log
    from mmengine.registry import METRICS

    from lbbt_mm.files.whole_files import write_files_whole
    from .attempt import undone_if_refused
    from .testing import dump_metric, load_test_config, scale_table, tests_of
    cfg = load_test_config(args)
    # what is wrong with the config is said before the seconds that these imports take: the mm codebases
    from .checkpoints import check_fit
    from .processes import build_runner, start_processes, stop_processes
    tests = tests_of(cfg, args.tta, args.show_dir)
    dump = dump_metric(cfg.get('default_scope'), args.out) if args.out else None
    write_files_whole()
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


def refuse_output(out: Optional[str], show_dir: Optional[str]) -> None:
    """Refuse predictions and pictures that could not be written, before the seconds that torch takes to be imported.

    Args:
        out: File for the predictions, or None.
        show_dir: Folder for the pictures, or None.

    Raises:
        ValueError: If the file would be no pickle, or something is where they would go, or they cannot be made.
    """
    if out and not out.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--out {out}: expected a name ending in .pkl or .pickle; predictions are written as a pickle.')
    refuse_overwriting_output(out, show_dir)


if __name__ == '__main__':
    import sys
    sys.exit(main())
