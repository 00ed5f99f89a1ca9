"""An annotation file in columns: what mmdet needs of each entry, checked, as arrays."""
import json
from array import array
from collections import Counter
from itertools import chain
from operator import itemgetter
from types import SimpleNamespace
from typing import Any, Callable, List, Mapping, NamedTuple, Sequence, Union

import numpy as np

from .problems import counted

#: What a column raises of which an entry has another form; then the entries are looked at one by one
_ODD = (KeyError, TypeError, ValueError, OverflowError, AttributeError)

#: Numbers below this are looked up in a table
_TABLE = 1 << 22

#: Whole numbers as an array, anything else as it is in the file
Column = Union[np.ndarray, Sequence[Any]]


class Form(NamedTuple):
    """What a field of an entry has to be.

    Attributes:
        read: Gives a column of some values; raises what :data:`_ODD` names where one has another form.
        expected: What it has to be, for a message.
        hint: What to add where it is absent.
    """
    read: Callable[[List[Any]], Column]
    expected: str = ''
    hint: str = ''


def whole_numbers(values: Sequence[Any]) -> Column:
    """An array, if they are whole numbers that fit; otherwise the values."""
    try:
        return np.asarray(array('q', values))  # which takes nothing but whole numbers
    except (TypeError, OverflowError):
        return values


def _floats(values: List[Any]) -> np.ndarray:
    return np.asarray(array('d', values))  # which takes nothing but numbers


def _pixels(values: List[Any]) -> np.ndarray:
    sides = _floats(values)
    return _all(sides, ((sides > 0) & (sides < 1 << 31)).all())


def _boxes(values: List[Any]) -> np.ndarray:
    return _all(_floats(chain.from_iterable(values)), set(map(len, values)) <= {4}).reshape(-1, 4)


def _all(column: Column, right: bool) -> Column:
    if not right:
        raise ValueError
    return column


_NAME = Form(lambda values: _all(values, set(map(type, values)) <= {str}), 'a name')
_NUMBER, _PIXELS = Form(whole_numbers), Form(_pixels, 'a number of pixels')
_FORMS = dict(
    id=_NUMBER, image_id=_NUMBER, category_id=_NUMBER, file_name=_NAME, name=_NAME, height=_PIXELS, width=_PIXELS,
    bbox=Form(_boxes, 'four numbers: left, top, width, height'),
    area=Form(_floats, 'a number', ' (width times height of its bbox will do)'),
    iscrowd=Form(lambda values: _all(values, set(map(type, values)) <= {int, bool}), '0 or 1, which the evaluation reads',
                 ' (0 where there are no crowds), without which the evaluation fails'),
    segmentation=Form(lambda values: _all(values, all(values)), 'the mask that is asked for',
                      ", or do without masks: metric='bbox' of the evaluator, with_mask=False of LoadAnnotations"))
_ONE = dict(images='image', categories='category', annotations='annotation')
#: What each entry has to have, for mmdet or for pycocotools, which fail without it: some of them after the training.
_FIELDS = dict(images=('id', 'file_name', 'height', 'width'), categories=('id', 'name'),
               annotations=('id', 'image_id', 'category_id', 'bbox', 'area'))
_LISTS = "'images', 'annotations' and 'categories'"


class CocoFileError(ValueError):
    """The file is not one that mmdet can read; the message is what was found, without the file's name."""


def parse(text: bytes) -> dict:
    """Parse an annotation file.

    Args:
        text: Its bytes.

    Raises:
        CocoFileError: If it is not JSON, or not an object.
    """
    try:
        content = _quickly_parsed(text)
    except (ValueError, RecursionError) as error:
        found = 'is nested too deeply' if isinstance(error, RecursionError) else f'is not JSON ({error})'
        raise CocoFileError(f'{found}. Expected a COCO annotation file; write it again') from None
    if not isinstance(content, dict):
        raise CocoFileError(f'holds a {type(content).__name__}. Expected a COCO annotation file with {_LISTS}')
    return content


def _quickly_parsed(text: bytes) -> Any:
    """As ``json.loads``, in a third of the time where orjson is installed; what it refuses (NaN) json may still read."""
    try:
        import orjson
        return orjson.loads(text)
    except (ImportError, ValueError):
        return json.loads(text)


def columns_of(content: Mapping, name: str, also: Sequence[str] = ()) -> SimpleNamespace:
    """Columns of one of a file's lists. A million of entries take a second.

    Args:
        content: The file.
        name: The list: ``images``, ``categories`` or ``annotations``.
        also: Fields that each entry has to have beside those that mmdet reads, since an evaluator reads them.

    Returns:
        SimpleNamespace: A column ``(N, )`` of each field, by the field's name; ``bbox`` is ``(N, 4)``.

    Raises:
        CocoFileError: If an entry is none, or lacks what mmdet or its evaluator needs.
    """
    entries, fields = content.get(name), (*_FIELDS[name], *also)
    if not isinstance(entries, list):
        raise CocoFileError(f'has no {name!r} list. Expected a COCO annotation file with {_LISTS}')
    try:
        columns = {field: _column(entries, field) for field in fields}
    except _ODD:
        raise CocoFileError(_fault(entries, name, fields)) from None
    check_ids(name, columns['id'])
    return SimpleNamespace(**columns)


def _fault(entries: List[Any], name: str, fields: Sequence[str]) -> str:
    """Which of the entries makes no column, and why: with a look at each."""
    odd = next((index for index, entry in enumerate(entries) if type(entry) is not dict), None)
    if odd is not None:
        return f'{name}[{odd}] is {short(entries[odd])}. Expected an object with {", ".join(_FIELDS[name])}'
    for field in fields:
        lacking = [entry for entry in entries if field not in entry]
        if lacking:
            first = short({key: lacking[0][key] for key in list(lacking[0])[:3]})
            return (f'{counted(len(lacking), len(entries), name)} have no {field!r}, first {first}. Add it'
                    f'{_FORMS[field].hint}')
        for entry in entries:
            try:
                _column([entry], field)
            except _ODD:
                return (f'{_ONE[name]} {entry["id"]!r} has {field}={short(entry[field])}. Expected '
                        f'{_FORMS[field].expected}')
    return f'has {name} that cannot be read together. Write it again'


def _column(entries: List[dict], field: str) -> Column:
    return _FORMS[field].read(list(map(itemgetter(field), entries)))


def places(wanted: Column, known: Column) -> np.ndarray:
    """Where each of some numbers is in a list of different ones ``(N, )``; -1 for those that it does not hold."""
    if isinstance(wanted, np.ndarray) and isinstance(known, np.ndarray) and (
            len(known) and known.min() >= 0 and known.max() < _TABLE):
        table = np.full(known.max() + 2, -1)  # the last for all numbers that are not in it
        table[known] = np.arange(len(known))
        return table[np.where((wanted >= 0) & (wanted <= known.max()), wanted, -1)]
    place = {number: index for index, number in enumerate(plain_list(known))}  # lists and objects are no keys
    return np.array([place.get(number, -1) if isinstance(number, (int, float, str)) else -1
                     for number in plain_list(wanted)], np.int64)


def plain_list(column: Column) -> list:
    """A column as a list of what stands in the file."""
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def check_ids(name: str, ids: Column) -> None:
    """Check that numbers are of one type and different.

    Raises:
        CocoFileError: If they are not.
    """
    if isinstance(ids, np.ndarray) and ((ids[1:] > ids[:-1]).all() or len(np.unique(ids)) == len(ids)):
        return
    ids = plain_list(ids)
    kinds = {kind.__name__ for kind in set(map(type, ids))}
    if not kinds <= {'int'} and not kinds <= {'str'}:
        raise CocoFileError(f"{name} have an 'id' of type {', '.join(sorted(kinds))}. Expected whole numbers")
    twice = next((number for number, times in Counter(ids).items() if times > 1), None)
    if twice is not None:
        raise CocoFileError(f'{counted(len(ids) - len(set(ids)), len(ids), name)} have the id of another, first '
                            f'{twice!r}. Number them anew: of those with one id mmdet keeps one, or none')


def short(value: Any, most: int = 60) -> str:
    """A value of a file, for a message."""
    text = json.dumps(value, default=str)
    return text if len(text) <= most else f'{text[:most]}...'
