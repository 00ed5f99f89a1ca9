"""An annotation file in COCO's format: parsed once, in columns, with what mmdet would make of each box."""
import json
import os
from itertools import chain, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .problems import counted, few

#: What each entry has to have, for mmdet or for pycocotools, which fail without it: some of them after the training.
_FIELDS = dict(images=('id', 'file_name', 'height', 'width'), categories=('id', 'name'),
               annotations=('id', 'image_id', 'category_id', 'bbox', 'area'))
_LISTS = "'images', 'annotations' and 'categories'"
#: Parsed files that a data set of this process may still take over: real path, size and time of change -> content.
_parsed: Dict[Tuple[str, int, int], dict] = {}


class CocoFileError(ValueError):
    """The file is not one that mmdet can read; the message is what was found, without the file's name."""


class Boxes(NamedTuple):
    """Columns of a file's annotations; ``N`` of them.

    Attributes:
        image: Place of the image in the file's list ``(N, )``, -1 for an id that is not there.
        xywh: Left, top, width and height in pixels ``(N, 4)``.
        used: Whether mmdet trains on it, by all but its category ``(N, )``.
        crowd: Whether it is a crowd, which mmdet does not train on ``(N, )``.
        ignored: Whether the file says to ignore it ``(N, )``.
    """
    image: np.ndarray
    xywh: np.ndarray
    used: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray


class CocoFile:
    """Content of an annotation file whose form has been checked.

    Args:
        path: The file.
        with_boxes: Whether its annotations matter; a test split may have none.
        for_evaluation: Whether an evaluator reads it, which asks for more.

    Raises:
        CocoFileError: If it is not a file in COCO's format, or lacks what mmdet or its evaluator need.
    """

    def __init__(self, path: Path, with_boxes: bool = True, for_evaluation: bool = False) -> None:
        content = _read(path)
        self.images: List[dict] = _entries(content, 'images')
        self.categories: List[dict] = _entries(content, 'categories')
        self.annotations: List[dict] = []
        columns: Dict[str, Sequence] = dict.fromkeys(_FIELDS['annotations'], ())
        if with_boxes or 'annotations' in content:
            fields = (*_FIELDS['annotations'], *(('iscrowd', ) if for_evaluation else ()))
            self.annotations, columns = _entries_in_columns(content, 'annotations', fields)
        self.names = {category['id']: category['name'] for category in self.categories}
        self._categories = columns['category_id']
        self.boxes = _columns(self.images, self.annotations, columns)
        _check_ids(self, columns['id'])

    def labels(self, classes: Sequence[str]) -> List[str]:
        """The names of labels 0, 1, ... as mmdet numbers them: in the file's order, whatever that of ``classes`` is."""
        wanted = set(classes)
        return [category['name'] for category in self.categories if category['name'] in wanted]

    def of_classes(self, classes: Sequence[str]) -> np.ndarray:
        """Which annotations have a category among ``classes`` ``(N, )``."""
        wanted = set(classes)
        ids = {key for key, name in self.names.items() if name in wanted}
        return np.fromiter(map(ids.__contains__, self._categories), bool, len(self._categories))

    def name_of(self, annotation: int) -> str:
        """The image of an annotation, for a message."""
        place = self.boxes.image[annotation]
        image = self.images[place]['file_name'] if place >= 0 else f'image_id {self.annotations[annotation]["image_id"]!r}'
        return f'{image} (annotation {self.annotations[annotation]["id"]!r})'


def take_parsed(path: Any) -> Optional[dict]:
    """The content of a file that a check of this process has parsed and nobody has taken yet, if it is still the same."""
    try:
        return _parsed.pop(_key(path), None)
    except OSError:
        return None


def hand_over_to_mmdet() -> None:
    """Have mmdet's data sets take what the checks have parsed, rather than parse half a gigabyte again."""
    try:
        from mmdet.datasets import CocoDataset
        from mmdet.datasets.api_wrappers import COCO
    except Exception:  # without mmdet, building the run says what to install
        return

    class ParsedCOCO(COCO):
        """mmdet's index of an annotation file, made from a parsed one where there is one."""

        def __init__(self, annotation_file: Any = None) -> None:
            content = take_parsed(annotation_file) if annotation_file is not None else None
            super().__init__(None if content is not None else annotation_file)
            if content is not None:
                self.dataset = content
                self.createIndex()
                self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    if CocoDataset.COCOAPI is COCO:
        CocoDataset.COCOAPI = ParsedCOCO


def _key(path: Any) -> Tuple[str, int, int]:
    found = os.stat(path)
    return os.path.realpath(path), found.st_size, found.st_mtime_ns


def _read(path: Path) -> dict:
    key = _key(path)
    if key in _parsed:
        return _parsed[key]
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        found = 'is nested too deeply' if isinstance(error, RecursionError) else f'is not JSON ({error})'
        raise CocoFileError(f'{found}. Expected a COCO annotation file; write it again') from None
    if not isinstance(content, dict):
        raise CocoFileError(f'holds a {type(content).__name__}. Expected a COCO annotation file with {_LISTS}')
    for old in [old for old in _parsed if old[0] == key[0]]:
        del _parsed[old]
    _parsed[key] = content
    return content


def _entries_in_columns(content: Mapping, name: str, fields: Tuple[str, ...]) -> Tuple[List[dict], Dict[str, Sequence]]:
    """The entries, and their fields one by one. Each entry is looked at once: a million of them lie all over the memory."""
    entries = content.get(name)
    try:
        rows = list(map(itemgetter(*fields), entries))
    except (KeyError, TypeError):  # which of them, and what it lacks
        _entries(content, name, fields[len(_FIELDS[name]):])
        raise CocoFileError(f'{name} are no list of objects. Expected a COCO annotation file with {_LISTS}') from None
    return entries, dict(zip(fields, zip(*rows))) if rows else dict.fromkeys(fields, ())


def _entries(content: Mapping, name: str, more: Tuple[str, ...] = ()) -> List[dict]:
    entries = content.get(name)
    if not isinstance(entries, list):
        raise CocoFileError(f'has no {name!r} list. Expected a COCO annotation file with {_LISTS}')
    odd = next((index for index, entry in enumerate(entries) if type(entry) is not dict), None)
    if odd is not None:
        raise CocoFileError(f'{name}[{odd}] is {_short(entries[odd])}. Expected an object with '
                            f'{", ".join(_FIELDS[name])}')
    for field in (*_FIELDS[name], *more):
        lacking = [entry for entry in entries if field not in entry]
        if lacking:
            hint = {'area': ' (width times height of its bbox will do)', 'iscrowd': ' (0 where there are no crowds), '
                    'without which the evaluation fails'}.get(field, '')
            raise CocoFileError(f'{counted(len(lacking), len(entries), name)} have no {field!r}, first '
                                f'{_short({key: lacking[0][key] for key in list(lacking[0])[:3]})}. Add it{hint}')
    return entries


def _check_ids(file: CocoFile, annotations: Sequence) -> None:
    images, categories = ([entry['id'] for entry in entries] for entries in (file.images, file.categories))
    for name, ids in (('images', images), ('annotations', annotations), ('categories', categories)):
        kinds = {kind.__name__ for kind in set(map(type, ids))}
        if not kinds <= {'int'} and not kinds <= {'str'}:
            raise CocoFileError(f"{name} have an 'id' of type {', '.join(sorted(kinds))}. Expected whole numbers")
        if len(set(ids)) < len(ids):
            seen: set = set()
            twice = next(number for number in ids if number in seen or seen.add(number))
            raise CocoFileError(f'{counted(len(ids) - len(set(ids)), len(ids), name)} have the id of another, first '
                                f'{twice!r}. Number them anew: of those with one id mmdet keeps one, or none')
    for field, kind in (('file_name', str), ('height', (int, float)), ('width', (int, float))):
        odd = next((image for image in file.images if not isinstance(image[field], kind)
                    or not isinstance(image[field], str) and not 0 < image[field] < 1 << 31), None)
        if odd is not None:
            raise CocoFileError(f'the image {odd["id"]!r} has {field}={_short(odd[field])}. Expected '
                                f'{"a name" if kind is str else "a number of pixels"}')
    odd = next((category for category in file.categories if not isinstance(category['name'], str)), None)
    if odd is not None:
        raise CocoFileError(f"the category {odd['id']!r} has name={_short(odd['name'])}. Expected a name")


def _columns(images: List[dict], annotations: List[dict], columns: Mapping[str, Sequence]) -> Boxes:
    count = len(annotations)
    try:
        place = {image['id']: index for index, image in enumerate(images)}
        image = np.fromiter(map(place.get, columns['image_id'], repeat(-1)), np.int64, count)
    except TypeError:
        raise CocoFileError("'id' or 'image_id' is a list or an object somewhere. Expected whole numbers") from None
    xywh = _numbers(annotations, 'bbox', 4, columns['bbox'])
    area = _numbers(annotations, 'area', 1, columns['area'])[:, 0]
    crowd = columns.get('iscrowd') or [item.get('iscrowd') for item in annotations]
    ignored = [item.get('ignore') for item in annotations]
    crowd, ignored = (np.fromiter(map(bool, column), bool, count) for column in (crowd, ignored))
    size = np.array([_size(image) for image in images], float).reshape(-1, 2)
    x, y, width, height = xywh.T
    limits = np.where(image[:, None] >= 0, size[image], 0) if len(images) else np.zeros((count, 2))
    with np.errstate(invalid='ignore', over='ignore'):
        inside = ((np.minimum(x + width, limits[:, 0]) - np.maximum(x, 0) > 0)
                  & (np.minimum(y + height, limits[:, 1]) - np.maximum(y, 0) > 0))
        used = inside & (area > 0) & (width >= 1) & (height >= 1) & ~ignored  # CocoDataset.parse_data_info's rule
    return Boxes(image, xywh, used, crowd, ignored)


def _size(image: Mapping) -> Tuple[float, float]:
    """Width and height; what is no number is reported with the images."""
    sides = image['width'], image['height']
    return sides if all(isinstance(side, (int, float)) for side in sides) else (0, 0)


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
            raise CocoFileError(f'annotation {item["id"]!r} has {field}={_short(value)}. Expected {expected}')
    raise CocoFileError(f'{field} of an annotation is no number')


def _short(value: Any, most: int = 60) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= most else f'{text[:most]}...'


def unusable_boxes(file: CocoFile, classes: Sequence[str]) -> Iterator[Tuple[str, bool]]:
    """What of a file's annotations mmdet would leave out without a word.

    Args:
        file: The file.
        classes: The data set's classes.

    Yields:
        tuple: One line, and whether a run cannot go on with it.
    """
    boxes, total = file.boxes, len(file.annotations)
    meant = file.of_classes(classes)
    with np.errstate(invalid='ignore'):
        finite = np.isfinite(boxes.xywh).all(axis=1)
        fraction = finite & (boxes.xywh >= 0).all(axis=1) & (boxes.xywh <= 1).all(axis=1) & ~boxes.used
    stray = boxes.image < 0
    reasons = (
        (stray, 'have an image_id that no image has', _id_hint(file)),
        (~finite & boxes.used, 'have a bbox that is not finite', 'Correct them: mmdet would train on infinite boxes'),
        (~finite & ~boxes.used & ~stray, 'have a bbox that is not a number', 'Correct them, or leave them out'),
        (fraction & ~stray, 'have coordinates from 0 to 1', "Multiply them by the image's width and height: COCO's are "
                                                            "pixels"),
        (finite & ~boxes.used & ~boxes.ignored & ~fraction & ~stray,
         'lie outside of their image, are less than a pixel wide or high, or have no area', 'Correct them, or leave them '
         'out'),
        (~meant, 'have a category that is not among the classes',
         'Add it to metainfo.classes and num_classes if it is meant to be learned'))
    usable = boxes.used & meant & ~boxes.crowd & ~stray
    said = []
    for which, what, remedy in reasons:
        if which.any():
            first = int(np.flatnonzero(which)[0])
            said.append((f'{counted(int(which.sum()), total, "boxes")} {what}, first in {file.name_of(first)}. {remedy}',
                         bool((~finite & boxes.used).any() and 'not finite' in what)))
    if not usable.any():
        reason = said[0][0] if said else ('all of them are crowds or ignored' if total else
                                          "its list 'annotations' is empty")
        yield f'no box can be used: {reason}', True
        return
    yield from said


def _id_hint(file: CocoFile) -> str:
    kinds = [{type(item[key]).__name__ for item in items} for items, key in
             ((file.images, 'id'), (file.annotations, 'image_id'))]
    if kinds[0] != kinds[1]:
        names = dict(int='whole numbers', str='strings')
        said = [' or '.join(sorted(names.get(kind, kind) for kind in kind_set)) for kind_set in kinds]
        return f"Images' ids are {said[0]}, annotations' image_ids {said[1]}: write them alike"
    return 'Correct them, or add the images'


__all__ = ['Boxes', 'CocoFile', 'CocoFileError', 'few', 'hand_over_to_mmdet', 'take_parsed', 'unusable_boxes']
