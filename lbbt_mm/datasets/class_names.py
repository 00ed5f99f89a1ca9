"""Names of classes in words, from wherever they are written."""
import re
from os import PathLike, fspath
from pathlib import Path
from typing import List, Optional, Sequence, Union

from .clip_benchmark import CLASSES, SCHEME, read_list

#: What a class is called that has an id of WordNet, or a number, instead of a name.
_ID, _NUMBER = re.compile(r'n\d{8}'), re.compile(r'n\d{8}|\d+')
NameSource = Union[str, PathLike, Sequence[str]]


def read_class_names(source: NameSource, expected: Optional[int] = None) -> List[str]:
    """Names of classes in the order of their labels.

    Args:
        source: A list of names; a text file with a name on each line; or ``clip-benchmark:DATASET[:LANGUAGE]`` for those of
            the package clip-benchmark.
        expected: How many labels there are. Defaults to None, as many as names.

    Returns:
        list: One name a class; ``_`` is a space in them.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the package is not installed.
        ValueError: If a class has no name, only a number for one, or there are not as many as expected.
    """
    where = 'the list of classes' if isinstance(source, (list, tuple)) else fspath(source)
    if isinstance(source, (list, tuple)):
        names = list(source)
    else:
        names = read_list(where, CLASSES) if where.startswith(SCHEME) else read_lines(where, 'a name of a class')
    odd = next((label for label, name in enumerate(names) if not isinstance(name, str) or not name.strip()), None)
    if odd is not None or not names:
        raise ValueError(f'{where}: class {odd or 0} has no name; expected one for each class, in the order of the labels. '
                         'Add it.')
    if all(_NUMBER.fullmatch(name.strip()) for name in names) and (
            len(names) > 10 or any(_ID.fullmatch(name.strip()) for name in names)):  # ten numbers are digits' names
        raise ValueError(f'{where}: calls its classes {names[0]}, ...: numbers, which no language model knows. Give words, '
                         'a line for each class.')
    if expected is not None and len(names) != expected:
        lacking = f'class {len(names)} has no name' if len(names) < expected else 'names are left over'
        raise ValueError(f'{where}: {len(names)} names of {expected} classes, so {lacking}; expected one each. Correct it.')
    return [' '.join(name.replace('_', ' ').split()) for name in names]


def read_lines(path: Union[str, PathLike], what: str) -> List[str]:
    """Lines of a text file.

    Args:
        path: The file, in UTF-8.
        what: What is on a line, for messages.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no text, or a line is empty.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f'{path}: no such file; expected {what} on each line. Correct the path.')
    try:
        lines = file.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError:
        raise ValueError(f'{path}: is no text in UTF-8. Convert it.') from None
    empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if empty or not lines:
        raise ValueError(f'{path}: line {empty or 1} is empty; expected {what} on each. Correct it.')
    return [line.strip() for line in lines]
