"""Command lines: what argparse refuses before a tool makes anything, in one line."""
import argparse
import math
import re
from typing import List, NoReturn, Tuple

#: What numpy takes as a seed.
LARGEST_SEED = 2**32 - 1


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the option that every tool has."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.add_argument('--traceback', action='store_true', help='show where an error came from')

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, without the long list of options."""
        self.exit(2, f'{self.prog}: {" ".join(message.split()).rstrip(".")}. {self.prog} --help lists the options.\n')


def count(text: str) -> int:
    """A number of things, of which there is one at least.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it is no whole number of 1 or more.
    """
    return _whole_number(text, 1)


def seed(text: str) -> int:
    """A seed, as numpy takes them.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it is no whole number from 0 to :data:`LARGEST_SEED`.
    """
    number = _whole_number(text, 0)
    if number > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f'{text}: expected at most {LARGEST_SEED}')
    return number


def positive(text: str) -> float:
    """A finite number above 0, such as a learning rate or a size.

    Args:
        text: What the user gave.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f'{text}: expected a number above 0')
    return number


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


def _whole_number(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f'{text}: expected a whole number, {least} or more')
    return number
