"""Progress of long work: a bar on a terminal, a line a minute in a log."""
import sys
import time
from typing import Iterable, Iterator, Optional, Sized, TypeVar

Item = TypeVar('Item')
_SECONDS_BETWEEN_LINES = 60


def track(items: Iterable[Item], what: str, total: Optional[int] = None) -> Iterator[Item]:
    """Hand out items, and say on standard error how far that is.

    Args:
        items: What is worked on.
        what: What this is called.
        total: How many there are. Defaults to None, the length of ``items`` where it has one.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    if total is None and isinstance(items, Sized):
        total = len(items)
    columns = TextColumn('{task.description}', markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console, said = Console(stderr=True), time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=total)
        for done, item in enumerate(items, 1):
            yield item
            progress.update(bar, completed=done)
            if not console.is_terminal and time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                print(f'{what}: {done} of {total or "?"}', file=sys.stderr)
