"""An annotation file in columns: what mmdet needs of each entry, checked, as arrays."""
import json
from array import array
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np

from .problems import counted

#: What each entry has to have, for mmdet or for pycocotools, which fail without it: some of them after the training.
_FIELDS = dict(images=('id', 'file_name', 'height', 'width'), categories=('id', 'name'),
               annotations=('id', 'image_id', 'category_id', 'bbox', 'area'))
_LISTS = "'images', 'annotations' and 'categories'"

#: What a column raises of which an entry has another form; then the entries are looked at one by one
_ODD = (KeyError, TypeError, ValueError, OverflowError, AttributeError)

#: Numbers below this are looked up in a table
_TABLE = 1 << 22

#: Whole numbers as an array, anything else as it is in the file
Column = Union[np.ndarray, Sequence[Any]]


class CocoFileError(ValueError):
    """The file is not one that mmdet can read; the message is what was found, without the file's name."""


class Images(NamedTuple):
    """Columns of a file's images; ``N`` of them.

    Attributes:
        id: Their numbers ``(N, )``.
        file_name: Their names.
        size: Width and height in pixels ``(N, 2)``.
    """
    id: Column
    file_name: Sequence[str]
    size: np.ndarray


class Annotations(NamedTuple):
    """Columns of a file's annotations; ``N`` of them.

    Attributes:
        id: Their numbers ``(N, )``.
        image_id: Numbers of their images ``(N, )``.
        category_id: Numbers of their categories ``(N, )``.
        xywh: Left, top, width and height in pixels ``(N, 4)``.
        area: In square pixels ``(N, )``.
        crowd: Whether it is a crowd ``(N, )``.
        ignored: Whether the file says to ignore it ``(N, )``.
    """
    id: Column
    image_id: Column
    category_id: Column
    xywh: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray


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


def categories_of(content: Mapping) -> List[dict]:
    """A file's categories.

    Raises:
        CocoFileError: If one is none, or has no name.
    """
    categories = _entries(content, 'categories')
    odd = next((category for category in categories if not isinstance(category['name'], str)), None)
    if odd is not None:
        raise CocoFileError(f"the category {odd['id']!r} has name={short(odd['name'])}. Expected a name")
    check_ids('categories', whole_numbers([category['id'] for category in categories]))
    return categories


def images_of(content: Mapping) -> Images:
    """A file's images.

    Raises:
        CocoFileError: If one is none, or lacks what mmdet needs.
    """
    try:
        images = _image_columns(content)
    except _ODD:
        images = _images_one_by_one(content)
    check_ids('images', images.id)
    return images


def annotations_of(content: Mapping, with_crowd: bool = False) -> Annotations:
    """A file's annotations.

    Args:
        content: The file.
        with_crowd: Whether each has to say whether it is a crowd.

    Raises:
        CocoFileError: If one is none, or lacks what mmdet or its evaluator needs.
    """
    try:
        annotations = _annotation_columns(content, with_crowd)
    except _ODD:
        annotations = _annotations_one_by_one(content, with_crowd)
    check_ids('annotations', annotations.id)
    return annotations


def _image_columns(content: Mapping) -> Images:
    """Their columns, field by field: a quick way for files without a fault."""
    entries = content['images']
    names = _column(entries, 'file_name')
    size = np.stack([array('d', _column(entries, side)) for side in ('width', 'height')], axis=1)
    if set(map(type, names)) - {str} or not ((size > 0) & (size < 1 << 31)).all():
        raise ValueError
    return Images(_integers(entries, 'id'), names, size)


def _annotation_columns(content: Mapping, with_crowd: bool) -> Annotations:
    """Their columns, field by field: a quick way for files without a fault. A million of entries take a second."""
    entries = content['annotations']
    boxes = _column(entries, 'bbox')
    if set(map(len, boxes)) - {4}:
        raise ValueError
    xywh = np.asarray(array('d', chain.from_iterable(boxes))).reshape(-1, 4)
    if with_crowd and None in _column(entries, 'iscrowd'):
        raise ValueError
    crowd = _column(entries, 'iscrowd') if with_crowd else [entry.get('iscrowd') for entry in entries]
    ignored = [entry.get('ignore') for entry in entries]
    return Annotations(*(_integers(entries, field) for field in ('id', 'image_id', 'category_id')), xywh,
                       np.asarray(array('d', map(itemgetter('area'), entries))), *map(_truths, (crowd, ignored)))


def _column(entries: List[dict], field: str) -> List[Any]:
    return list(map(itemgetter(field), entries))


def _integers(entries: List[dict], field: str) -> np.ndarray:
    return np.asarray(array('q', map(itemgetter(field), entries)))  # which takes nothing but whole numbers


def _truths(values: Sequence[Any]) -> np.ndarray:
    return np.fromiter(map(bool, values), bool, len(values)) if any(values) else np.zeros(len(values), bool)


def no_annotations() -> Annotations:
    """Those of a test split."""
    return _annotations_one_by_one(dict(annotations=[]), False)


def whole_numbers(values: Sequence[Any]) -> Column:
    """An array, if they are whole numbers that fit; otherwise the values."""
    if set(map(type, values)) <= {int}:
        try:
            return np.array(values, np.int64)
        except OverflowError:
            pass
    return values


def places(wanted: Column, known: Column) -> np.ndarray:
    """Where each of some numbers is in a list of different ones ``(N, )``; -1 for those that it does not hold."""
    if isinstance(wanted, np.ndarray) and isinstance(known, np.ndarray):
        if not len(known) or not len(wanted):
            return np.full(len(wanted), -1)
        if known.min() >= 0 and known.max() < _TABLE:
            table = np.full(known.max() + 2, -1)  # the last for all numbers that are not in it
            table[known] = np.arange(len(known))
            return table[np.where((wanted >= 0) & (wanted <= known.max()), wanted, -1)]
        order = np.argsort(known, kind='stable')
        found = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
        return np.where(known[found] == wanted, found, -1)
    place = {number: index for index, number in enumerate(plain_list(known))}
    wanted = plain_list(wanted)
    try:
        return np.fromiter(map(place.get, wanted, repeat(-1)), np.int64, len(wanted))
    except TypeError:  # lists and objects are no keys
        return np.array([place.get(number, -1) if isinstance(number, (int, float, str)) else -1 for number in wanted])


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
    if len(set(ids)) < len(ids):
        seen: set = set()
        twice = next(number for number in ids if number in seen or seen.add(number))
        raise CocoFileError(f'{counted(len(ids) - len(set(ids)), len(ids), name)} have the id of another, first '
                            f'{twice!r}. Number them anew: of those with one id mmdet keeps one, or none')


def short(value: Any, most: int = 60) -> str:
    """A value of a file, for a message."""
    text = json.dumps(value, default=str)
    return text if len(text) <= most else f'{text[:most]}...'


def _images_one_by_one(content: Mapping) -> Images:
    images = _entries(content, 'images')
    for field, kind in (('file_name', str), ('height', (int, float)), ('width', (int, float))):
        odd = next((image for image in images if not isinstance(image[field], kind)
                    or not isinstance(image[field], str) and not 0 < image[field] < 1 << 31), None)
        if odd is not None:
            raise CocoFileError(f'the image {odd["id"]!r} has {field}={short(odd[field])}. Expected '
                                f'{"a name" if kind is str else "a number of pixels"}')
    sizes = np.array([(image['width'], image['height']) for image in images], float).reshape(-1, 2)
    return Images(whole_numbers([image['id'] for image in images]), [image['file_name'] for image in images], sizes)


def _annotations_one_by_one(content: Mapping, with_crowd: bool) -> Annotations:
    annotations, columns = _entries_in_columns(content, with_crowd)
    crowd, ignored = (_truths([item.get(key) for item in annotations]) for key in ('iscrowd', 'ignore'))
    return Annotations(*(whole_numbers(columns[field]) for field in ('id', 'image_id', 'category_id')),
                       _numbers(annotations, 'bbox', 4, columns['bbox']),
                       _numbers(annotations, 'area', 1, columns['area'])[:, 0], crowd, ignored)


def _entries_in_columns(content: Mapping, with_crowd: bool) -> Tuple[List[dict], Dict[str, Sequence]]:
    fields = (*_FIELDS['annotations'], *(('iscrowd', ) if with_crowd else ()))
    entries = content.get('annotations')
    try:
        rows = list(map(itemgetter(*fields), entries))
    except (KeyError, TypeError):  # which of them, and what it lacks
        _entries(content, 'annotations', fields[len(_FIELDS['annotations']):])
        raise CocoFileError('annotations are no list of objects. Expected a COCO annotation file with '
                            f'{_LISTS}') from None
    odd = next((entry for entry in entries if with_crowd and type(entry['iscrowd']) not in (int, bool)), None)
    if odd is not None:
        raise CocoFileError(f'annotation {odd["id"]!r} has iscrowd={short(odd["iscrowd"])}. Expected 0 or 1, which the '
                            'evaluation reads')
    return entries, dict(zip(fields, zip(*rows))) if rows else dict.fromkeys(fields, ())


def _entries(content: Mapping, name: str, more: Tuple[str, ...] = ()) -> List[dict]:
    entries = content.get(name)
    if not isinstance(entries, list):
        raise CocoFileError(f'has no {name!r} list. Expected a COCO annotation file with {_LISTS}')
    odd = next((index for index, entry in enumerate(entries) if type(entry) is not dict), None)
    if odd is not None:
        raise CocoFileError(f'{name}[{odd}] is {short(entries[odd])}. Expected an object with '
                            f'{", ".join(_FIELDS[name])}')
    for field in (*_FIELDS[name], *more):
        lacking = [entry for entry in entries if field not in entry]
        if lacking:
            hint = {'area': ' (width times height of its bbox will do)', 'iscrowd': ' (0 where there are no crowds), '
                    'without which the evaluation fails'}.get(field, '')
            raise CocoFileError(f'{counted(len(lacking), len(entries), name)} have no {field!r}, first '
                                f'{short({key: lacking[0][key] for key in list(lacking[0])[:3]})}. Add it{hint}')
    return entries


def _numbers(annotations: List[dict], field: str, width: int, values: Sequence) -> np.ndarray:
    """A field of all annotations ``(N, width)``."""
    try:
        if width == 1 or set(map(len, values)) <= {width}:
            flat = values if width == 1 else list(chain.from_iterable(values))
            if set(map(type, flat)) <= {int, float}:
                return np.array(flat, float).reshape(-1, width)
    except (TypeError, OverflowError):
        pass
    for item in annotations:
        value = item[field]
        parts = value if isinstance(value, list) else [value]
        if len(parts) != width or not all(type(part) in (int, float) and abs(part) < 1e300 or part != part
                                          for part in parts):
            expected = 'four numbers: left, top, width, height' if width == 4 else 'a number'
            raise CocoFileError(f'annotation {item["id"]!r} has {field}={short(value)}. Expected {expected}')
    raise CocoFileError(f'{field} of an annotation is no number')
