"""Look at every file of a config's data sets: what a run cannot use, or would use otherwise than meant, a line each.

Before each run tools/train.py and tools/test.py do the same with annotation files whole and an evenly spaced sample of
images and masks. This opens all of them, and compares the checksums of stores of features, unless --most is given.

  tools/check_data.py CONFIG
  tools/check_data.py CONFIG --loaders test --out report.csv
"""
import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, List, Optional, Sequence

from lbbt_mm import argument_types
from lbbt_mm.files.config_paths import refuse_absent_config
from lbbt_mm.files.overwriting import refuse_overwriting_output
from lbbt_mm.launch.quiet_imports import quiet_imports
from lbbt_mm.launch.user_errors import run_tool

LOADERS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--loaders', nargs='+', choices=LOADERS, default=['train', 'val'],
                        help='which data sets; default: those of a training, train and val')
    parser.add_argument('--most', type=argument_types.count, metavar='N',
                        help='open N evenly spaced images and masks of each data set; default: all')
    parser.add_argument('--out', type=Path, metavar='FILE.csv', help='write the table to a file that is not there yet')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override settings of the config')
    return parser.parse_args()


def look(cfg: Any, loaders: Sequence[str], most: Optional[int]) -> List[Any]:
    """Find what is wrong with a config's data sets, and show how far that is.

    Args:
        cfg: The config.
        loaders: Which of its data loaders.
        most: How many images and masks of each data set are opened; None for all.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lbbt_mm.checks import find_problems
    from lbbt_mm.checks.image_files import Budget
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars = defaultdict(lambda: progress.add_task(''))

        def show(what: str, done: int, total: int) -> None:
            """Move the bar of a data set's files."""
            progress.update(bars[what], description=what, completed=done, total=total)

        budget = Budget(seconds=None if most is None else 0., least=most or 0, progress=show)
        return list(find_problems(cfg, loaders, budget))


def main() -> int:
    """Check, and print what was found.

    Returns:
        int: 1 if a run could not go on with it, else 0.
    """
    args = parse_args()  # before what takes seconds to import
    refuse_absent_config(args.config)
    refuse_overwriting_output(args.out, None)
    quiet_imports()
    from rich.console import Console
    from rich.markup import escape

    from lbbt_mm.checks.datasets import find_datasets
    from lbbt_mm.files.config_files import read_config_file
    from lbbt_mm.files.whole_files import whole_file
    from lbbt_mm.runs.run_request import override
    cfg = override(read_config_file(args.config), args.cfg_options or [])
    console, loaders = Console(), [f'{name}_dataloader' for name in args.loaders]
    if not any(find_datasets(cfg, loaders)):
        raise ValueError(f'{args.config}: has no data set under {", ".join(loaders)}. '
                         'Give a config with one, or other --loaders.')
    problems = look(cfg, loaders, args.most)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(args.out, 'w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows([('where', 'stops a run', 'problem'),
                                        *((found.where, found.fatal, found.text) for found in problems)])
    if not problems:
        console.print('Nothing was found that a run could not use.')
        return 0
    for found in sorted(problems, key=lambda found: not found.fatal):
        kind = '[red]stops a run[/red]' if found.fatal else '[yellow]goes on[/yellow]'
        console.print(f'{kind}  {escape(str(found))}', soft_wrap=True, highlight=False)
    return int(any(found.fatal for found in problems))


if __name__ == '__main__':
    sys.exit(run_tool(main))
