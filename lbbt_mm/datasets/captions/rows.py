"""Rows of an image and a caption: CSV, JSON lines, or a list in JSON."""
import csv
import json
from pathlib import Path
from typing import Any, List, Tuple

_KEYS = ('image', 'caption')
#: Endings of files of rows.
ENDINGS = ('.csv', '.jsonl')


def read_pairs(path: Path) -> List[Tuple[str, str]]:
    """Read images and captions of a CSV file with the columns ``image`` and ``caption``, or of JSON lines with these keys.

    Args:
        path: The file, in UTF-8, called ``.csv`` or ``.jsonl``.

    Returns:
        list: Path of an image, as the file has it, and its caption.

    Raises:
        ValueError: If it is no such file, or lacks an image or a caption.
    """
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            if path.suffix.lower() == '.csv':
                rows = list(csv.DictReader(file, strict=True))
            else:
                rows = [json.loads(line) for line in file if line.strip()]
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'{path}: cannot be read ({error!s:.120}); expected CSV with a header, or an object of JSON a '
                         'line, in UTF-8. Correct it.') from None
    return pairs_of(path, rows)


def pairs_of(path: Path, rows: List[Any]) -> List[Tuple[str, str]]:
    """Images and captions of rows; other columns do not count.

    Args:
        path: The file, for messages.
        rows: Its rows.

    Raises:
        ValueError: If one lacks an image or a caption, or there is none.
    """
    for number, row in enumerate(rows, 1):
        lacks = next((key for key in _KEYS if not isinstance(row, dict) or not _text(row.get(key))), None)
        if lacks:
            raise ValueError(f'{path}: row {number} has no {lacks}; expected {" and ".join(_KEYS)} in each. Correct it.')
    if not rows:
        raise ValueError(f'{path}: has no rows; expected {" and ".join(_KEYS)} in each. Give another file.')
    return [tuple(_text(row[key]) for key in _KEYS) for row in rows]


def _text(value: Any) -> str:
    """A cell's text; JSON may have a number there, such as a year."""
    return str(value).strip() if isinstance(value, (str, int, float)) else ''
