"""Tables as text: for logs, the screen and Markdown."""
import io
from typing import Optional, Sequence

from rich import box as boxes
from rich.console import Console
from rich.table import Table
from rich.text import Text


def make_table(columns: Sequence[str], rows: Sequence[Optional[Sequence[str]]], title: str = '', left: Sequence[str] = (),
               box: boxes.Box = boxes.HEAVY_HEAD) -> Table:
    """A table for a console of rich.

    Args:
        columns: Headings.
        rows: Cells, a sequence for each row; None is a line between two rows.
        title: What it is about.
        left: Headings of the columns that hold text; the others hold numbers. Defaults to the first.
        box: How lines are drawn.
    """
    # as Text: names may have brackets and colons, which rich would read as markup
    table = Table(title=Text(title, 'table.title') if title else None, box=box, title_justify='left')
    for column in columns:
        table.add_column(Text(column), overflow='fold', justify='left' if column in (left or columns[:1]) else 'right')
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*map(Text, row))
    return table


def render_table(title: str, columns: Sequence[str], rows: Sequence[Optional[Sequence[str]]], box: boxes.Box = boxes.ASCII,
                 width: int = 140, left: Sequence[str] = ()) -> str:
    """The text of a table, see :func:`make_table`.

    Args:
        title: What it is about; may be empty.
        columns: Headings.
        rows: Cells, a sequence for each row.
        box: How lines are drawn.
        width: Most characters in a line.
        left: Headings of the columns that hold text. Defaults to the first.

    Returns:
        str: The table, lines ended.
    """
    text = io.StringIO()
    Console(file=text, width=width).print(make_table(columns, rows, title, left, box))
    return text.getvalue()


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, its lines ended; a cell may have several lines."""
    lines = [columns, ['---'] * len(columns), *rows]
    return ''.join('| {} |\n'.format(' | '.join(cells).replace('\n', '<br>')) for cells in lines)
