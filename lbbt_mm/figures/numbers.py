"""The numbers behind a figure: a CSV file, and a table on the screen."""
import math
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Tuple

import pandas as pd

from lbbt_mm.argument_checks import is_whole
from lbbt_mm.files.whole_files import whole_file
from lbbt_mm.text_table import make_table


def write_numbers(frame: pd.DataFrame, folder: Path, name: str) -> None:
    """Write a table as CSV, a number with all its digits.

    Args:
        frame: The numbers, one row for each observation.
        folder: Where; it is made where it is absent.
        name: File name without its ending.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / f'{name}.csv', 'w', newline='', encoding='utf-8') as file:
        frame.to_csv(file, index=False)


#: Where tables that are printed go too, see :func:`printed_tables`.
_KEPT: List[List[Tuple[str, pd.DataFrame]]] = []


@contextmanager
def printed_tables() -> Iterator[List[Tuple[str, pd.DataFrame]]]:
    """Keep the tables that are printed inside a ``with`` block, for a page that shows them too.

    Yields:
        list: Pairs of a title and a table, which grows.
    """
    kept: List[Tuple[str, pd.DataFrame]] = []
    _KEPT.append(kept)
    try:
        yield kept
    finally:
        _KEPT.pop()


def print_numbers(frame: pd.DataFrame, title: str, left: Sequence[str] = ()) -> None:
    """Print a table; a number that is not there is a dash.

    Args:
        frame: What to print.
        title: What it is about.
        left: Columns that hold text. Defaults to the first.
    """
    from rich.console import Console
    for kept in _KEPT:
        kept.append((title, frame))
    console = Console(width=None if sys.stdout.isatty() else 140)
    rows = [[shown(value) for value in row] for row in frame.itertuples(index=False)]
    console.print(make_table([str(name) for name in frame.columns], rows, title, left))


def of_all(groups: Any, measure: str) -> Any:
    """A measure over runs or blocks, where each has a number: of a gap in one there is none, not one of the others.

    Args:
        groups: A table or column in groups, as pandas gives them.
        measure: ``mean`` or ``std``.
    """
    return groups.agg(partial(getattr(pd.Series, measure), skipna=False))


def shown(value: Any) -> str:
    """A value of a table as text: four digits that count, a dash for a number that is not there."""
    if not isinstance(value, float):
        return f'{value:,}' if is_whole(value) else str(value)
    if math.isnan(value):
        return '-'
    return f'{value:.4g}' if abs(value) < 1e5 else f'{value:,.0f}'
