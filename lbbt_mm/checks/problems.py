"""What a check has found, in one line each."""
from typing import Any, Iterator, NamedTuple, Optional, Sequence


class Problem(NamedTuple):
    """Something that does not fit.

    Attributes:
        where: The part of the config it is about, such as ``'train_dataloader.dataset'``.
        text: What was found, how often, where first, what was expected, and what to do: one line.
        fatal: Whether a run would fail, or be another one than was meant. Otherwise it is only said.
    """
    where: str
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f'{self.where}: {self.text}' if self.where else self.text


def few(items: Sequence[Any], most: int = 5) -> str:
    """The first of some items, for a message, and how many more there are."""
    shown = ', '.join(map(repr, items[:most]))
    return shown + (f' and {len(items) - most} more' if len(items) > most else '')


def counted(count: int, total: int, what: str) -> str:
    """How many of how many, for a message: ``'3 of 1,000 boxes'``, ``'all 1,000 boxes'``."""
    return f'all {total:,} {what}' if count == total else f'{count:,} of {total:,} {what}'


def of_some(where: str, found: Sequence[Any], total: int, said: str, remedy: str,
            fatal: Optional[bool] = None) -> Iterator[Problem]:
    """A problem of some of many things, if there are such: how many they are, and the first.

    Args:
        where: The part of the config it is about.
        found: Those.
        total: Of how many.
        said: What they are called and what is said of them: ``'images are empty'``.
        remedy: What to do, as a sentence.
        fatal: Whether a run would fail. Defaults to whether it is all of them.
    """
    if found:
        yield Problem(where, f'{counted(len(found), total, said)}, first {found[0]}. {remedy}',
                      len(found) == total if fatal is None else fatal)
