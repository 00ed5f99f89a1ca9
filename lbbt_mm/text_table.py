"""Tables as text, for logs."""
import io
from typing import Sequence

from rich import box as boxes
from rich.console import Console
from rich.table import Table


def render_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], box: boxes.Box = boxes.ASCII,
                 width: int = 140) -> str:
    """A table whose first column holds names and whose others hold numbers.

    Args:
        title: What it is about.
        columns: Headings.
        rows: Cells, a sequence for each row.
        box: How lines are drawn.
        width: Most characters in a line.

    Returns:
        str: The table, lines ended.
    """
    table = Table(title=title, box=box, title_justify='left')
    for index, column in enumerate(columns):
        table.add_column(column, justify='right' if index else 'left', overflow='fold')
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=width).print(table)
    return text.getvalue()
