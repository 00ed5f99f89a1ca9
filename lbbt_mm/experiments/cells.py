"""Cells: settings besides the arm that an experiment has several of, such as the attention or the kind of labels."""
import argparse
import itertools
import re
from typing import List, NamedTuple, Sequence, Tuple


class Cell(NamedTuple):
    """One combination of such settings.

    Attributes:
        name: What folders and tables call it; empty where there is one only.
        options: Overrides ``KEY=VALUE`` of the config.
    """
    name: str = ''
    options: Tuple[str, ...] = ()


def read_levels(text: str) -> List[Cell]:
    """Read ``KEY=V1,V2``; commas in brackets and in quotes are the value's own.

    Raises:
        argparse.ArgumentTypeError: If it has no key, or fewer than two values.
    """
    key, _, values = text.partition('=')
    found = _split(values)
    if not key or len(set(found)) < 2 or not all(found):
        raise argparse.ArgumentTypeError(f'{text}: expected KEY=VALUE,VALUE with two values or more')
    return [Cell(f'{key.split(".")[-1]}={value}', (f'{key}={value}', )) for value in found]


def _split(values: str) -> List[str]:
    """Values between commas; none where brackets or quotes do not end."""
    found, depth, quoted = [''], 0, False
    for letter in values:
        quoted ^= letter == '"' and not found[-1].endswith('\\')
        depth += 0 if quoted else (letter in '[(') - (letter in '])')
        if letter == ',' and not depth and not quoted:
            found.append('')
        else:
            found[-1] += letter
    return [] if depth or quoted else found


def combine(levels: Sequence[Sequence[Cell]], named: Sequence[Sequence[str]]) -> List[Cell]:
    """Every combination of what ``--cells`` and ``--cell`` name.

    Args:
        levels: For each key, what :func:`read_levels` gave.
        named: For each ``--cell``, its name and then its overrides.

    Returns:
        list[Cell]: The cells; one without a name where nothing is given.

    Raises:
        ValueError: If names do not fit together; keys are looked at with the config, by the plan.
    """
    cells = [Cell(name, tuple(options)) for name, *options in named]
    wrong = next((option for cell in cells for option in cell.options if '=' not in option), None)
    if wrong:
        raise ValueError(f'--cell: found {wrong}; expected NAME KEY=VALUE ... Give each cell its own --cell.')
    factors = ([cells] if cells else []) + list(levels)
    found = [Cell('+'.join(part.name for part in parts), tuple(option for part in parts for option in part.options))
             for parts in itertools.product(*factors)]
    names = [cell.name for cell in found]
    for name in names if factors else ():
        if names.count(name) > 1 or not re.fullmatch(r'\w[^/\\\0]{,99}', name):
            raise ValueError(f'--cells, --cell: found the name {name!r}; expected names that differ and can be part of that '
                             'of a folder. Name the cells by --cell NAME KEY=VALUE ...')
    return found
