"""What a setting or an argument has to be: a whole number, a number between two ends, one of several choices."""
import math
from numbers import Real
from typing import Any, Collection, Tuple


def is_whole(value: Any, least: float = -math.inf, most: float = math.inf) -> bool:
    """Whether something is a whole number between two ends; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: Any, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf,
              below: float = math.inf) -> bool:
    """Whether something is a finite number: from ``least`` to ``most``, which belong to it, and between the other two."""
    return isinstance(value, Real) and not isinstance(value, bool) and least <= value <= most and above < value < below


def whole_number(least: float = -math.inf, most: float = math.inf) -> str:
    """What :func:`is_whole` asks for, in words."""
    if most < math.inf:
        return f'a whole number from {least:,} to {most:,}'
    return f'a whole number, {least} or more' if least > -math.inf else 'a whole number'


def number(*, least: float = -math.inf, most: float = math.inf, above: float = -math.inf, below: float = math.inf) -> str:
    """What :func:`is_number` asks for, in words."""
    if -math.inf < least and most < math.inf:
        return f'a number from {least} to {most}'
    low = f', {least} or more' if least > -math.inf else f' above {above}' if above > -math.inf else ''
    high = f' up to {most}' if most < math.inf else f' below {below}' if below < math.inf else ''
    return f'a number{low}{" and" if low and high else ""}{high}'


def check_count(name: str, value: Any, least: float = 1, more: str = '') -> None:
    """Refuse what is no whole number.

    Args:
        name: What the message calls it: its owner and the argument.
        value: What was given.
        least: The smallest one. Defaults to 1.
        more: What the message says behind what was expected. Defaults to nothing.

    Raises:
        ValueError: If it is none, or below ``least``.
    """
    if not is_whole(value, least):
        raise ValueError(f'{name}={value!r:.60}; expected {whole_number(least)}{more}.')


def read_counts(name: str, value: Any) -> Tuple[int, ...]:
    """Whole numbers of 1 or more, of which there may be one or several.

    Args:
        name: What the message calls them.
        value: One number, or a list or tuple of them.

    Raises:
        ValueError: If there is none, or one of them is no such number.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, )
    if not values or not all(is_whole(each, 1) for each in values):
        raise ValueError(f'{name}={value!r:.60}; expected {whole_number(1)}, or several of them.')
    return values


def check_number(name: str, value: Any, more: str = '', **ends: float) -> None:
    """Refuse what is no finite number.

    Args:
        name: What the message calls it.
        value: What was given.
        more: What the message says behind what was expected. Defaults to nothing.
        **ends: As :func:`is_number` takes them.

    Raises:
        ValueError: If it is none, or not between the ends.
    """
    if not is_number(value, **ends):
        raise ValueError(f'{name}={value!r:.60}; expected {number(**ends)}{more}.')


def check_rate(name: str, value: Any) -> None:
    """Refuse what is no rate of dropout; see :func:`check_number`."""
    check_number(name, value, least=0, below=1)


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Refuse what is none of several choices.

    Args:
        name: What the message calls it.
        value: What was given.
        choices: What it can be.

    Raises:
        ValueError: If it is none of them.
    """
    if value not in tuple(choices):  # a list is no key of a table
        raise ValueError(f'{name}={value!r:.60}; expected one of {", ".join(map(repr, choices))}.')
