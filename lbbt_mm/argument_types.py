"""Command lines: what argparse refuses before a tool makes anything, in one line."""
import argparse
import math
import re
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, NoReturn, Sequence, Tuple

from lbbt_mm import argument_checks

#: What numpy takes as a seed.
LARGEST_SEED = 2**32 - 1


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the option that every tool has; options are written in full."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self.add_argument('--traceback', action='store_true', help='show where an error came from')

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, without the long list of options."""
        self.exit(2, f'{self.prog}: {" ".join(message.split()).rstrip(".")}. {self.prog} --help lists the options.\n')


def whole_number(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A type of option: whole numbers between two ends.

    Args:
        least: The smallest one.
        most: The largest one. Defaults to none.

    Returns:
        Callable: Reads what the user gave; raises argparse.ArgumentTypeError if it is no such number.
    """
    return lambda text: _read(text, int, partial(argument_checks.is_whole, least=least, most=most),
                              argument_checks.whole_number(least, most))


def number(**ends: float) -> Callable[[str], float]:
    """A type of option: finite numbers between two ends.

    Args:
        **ends: As :func:`lbbt_mm.argument_checks.is_number` takes them.

    Returns:
        Callable: Reads what the user gave; raises argparse.ArgumentTypeError if it is no such number.
    """
    return lambda text: _read(text, float, partial(argument_checks.is_number, **ends), argument_checks.number(**ends))


#: A number of things, of which there is one at least.
count = whole_number(1)
#: A seed, as numpy takes them.
seed = whole_number(0, LARGEST_SEED)
#: A number above 0, such as a learning rate or a size.
positive = number(above=0)


def permutations(text: str) -> int:
    """How many permutations of samples a score is compared with.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it is no whole number, or so small that no p could be 0.05.
    """
    try:
        return whole_number(19)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f'{error}; with fewer, p is never 0.05 or lower') from None


def existing_file(text: str) -> Path:
    """A file that is there.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If there is none.
    """
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f'{text}: no such file')
    return Path(text)


def size_pair(text: str) -> Tuple[int, int]:
    """Height and width, ``HEIGHTxWIDTH``, each 1 or more.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it is no such pair.
    """
    found = re.fullmatch(r'0*([1-9]\d*)x0*([1-9]\d*)', text, re.ASCII)
    if not found:
        raise argparse.ArgumentTypeError(f'{text}: expected HEIGHTxWIDTH, both 1 or more, for example 32x32')
    return tuple(map(int, found.groups()))


def gpus(text: str) -> List[str]:
    """GPUs by index or UUID, with commas between.

    Args:
        text: What the user gave; an empty one is no GPUs.

    Raises:
        argparse.ArgumentTypeError: If a part is empty or negative: CUDA would show the training no GPU, in silence.
    """
    names = [name.strip() for name in text.split(',')] if text.strip() else []
    if any(not name or name.startswith('-') for name in names):
        raise argparse.ArgumentTypeError(f'{text}: expected GPUs with commas between, for example 0,1')
    return names


def refuse_repeated(parser: Parser, option: str, names: Sequence[str], form: str) -> None:
    """Refuse two things of one name, which tables and figures could not tell apart.

    Args:
        parser: Where the error goes.
        option: What gives them.
        names: What they are called.
        form: How the option takes a name.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        parser.error(f'{option}: {twice} is there twice. Give names that differ: {form}')


def _read(text: str, kind: Callable[[str], Any], holds: Callable[[Any], bool], expected: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if not holds(value):
        raise argparse.ArgumentTypeError(f'{text}: expected {expected}')
    return value
