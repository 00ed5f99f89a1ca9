"""Rows of an image and a caption: CSV, JSON lines, or a list in JSON."""
import csv
import json
from pathlib import Path
from typing import Any, List, Tuple, Union

_KEYS = ('image', 'caption')
#: Of a row of a pair test: two images, and the caption of each.
QUADRUPLE = ('image_0', 'caption_0', 'image_1', 'caption_1')
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
    return pairs_of(path, _read_rows(path))


def read_quadruples(path: Union[str, Path]) -> List[Tuple[Tuple[str, str], Tuple[str, str]]]:
    """Read two images and two captions a row, ``image_0, caption_0, image_1, caption_1``, as Winoground has them.

    :func:`open_captions` reads the same files, each row as two pairs.

    Args:
        path: The file, in UTF-8, called ``.csv``, ``.jsonl`` or ``.json`` (a list).

    Returns:
        list: Two pairs, of the path of an image, as the file has it, and its caption.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or lacks an image or a caption.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file; expected {", ".join(QUADRUPLE)} in each row. Correct the path.')
    rows = _read_rows(path)
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict) or QUADRUPLE[0] not in rows[0]:
        raise ValueError(f'{path}: holds no quadruples; expected {", ".join(QUADRUPLE)} in each row. Give another file.')
    pairs = pairs_of(path, rows)
    return list(zip(pairs[::2], pairs[1::2]))


def _read_rows(path: Path) -> Any:
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            if path.suffix.lower() == '.csv':
                return _whole(path, list(csv.DictReader(file, strict=True)))
            if path.suffix.lower() == '.json':
                return json.load(file)
            return [json.loads(line) for line in file if line.strip()]
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'{path}: cannot be read ({error!s:.120}); expected CSV with a header, or an object of JSON a '
                         'line, in UTF-8. Correct it.') from None


def _whole(path: Path, rows: List[dict]) -> List[dict]:
    """Refuse rows with more cells than the header: a caption with a comma, without quotes, would be cut."""
    longer = next((number for number, row in enumerate(rows, 1) if None in row), None)
    if longer:
        raise ValueError(f'{path}: row {longer} has more cells than the header; expected as many. Put captions with commas '
                         'in quotes.')
    return rows


def pairs_of(path: Path, rows: List[Any]) -> List[Tuple[str, str]]:
    """Images and captions of rows, two of each where rows are quadruples; other columns do not count.

    Args:
        path: The file, for messages.
        rows: Its rows.

    Raises:
        ValueError: If one lacks an image or a caption, or there is none.
    """
    keys = QUADRUPLE if rows and isinstance(rows[0], dict) and QUADRUPLE[0] in rows[0] else _KEYS
    for number, row in enumerate(rows, 1):
        lacks = next((key for key in keys if not isinstance(row, dict) or not _text(row.get(key))), None)
        if lacks:
            raise ValueError(f'{path}: row {number} has no {lacks}; expected {" and ".join(keys)} in each. Correct it.')
    if not rows:
        raise ValueError(f'{path}: has no rows; expected {" and ".join(keys)} in each. Give another file.')
    return [(_text(row[image]), _text(row[caption])) for row in rows for image, caption in zip(keys[::2], keys[1::2])]


def _text(value: Any) -> str:
    """A cell's text; JSON may have a number there, such as a year, or ``true`` and ``NaN``, which are none."""
    is_text = isinstance(value, (str, int, float)) and not isinstance(value, bool) and value == value
    return str(value).strip() if is_text else ''
