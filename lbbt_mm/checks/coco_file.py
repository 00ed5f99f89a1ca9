"""An annotation file in COCO's format: parsed once, with what mmdet would make of each box."""
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .coco_columns import (Annotations, CocoFileError, Images, annotations_of, categories_of, images_of, parse, places,
                           whole_numbers)
from .problems import counted

#: Parsed files that a data set of this process may still take over: real path, size and time of change -> content.
_parsed: Dict[Tuple[str, int, int], dict] = {}


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
        also: Fields that each annotation has to have beside those that mmdet reads, since an evaluator reads them.

    Raises:
        CocoFileError: If it is not a file in COCO's format, or lacks what mmdet or its evaluator need.
    """

    def __init__(self, path: Path, with_boxes: bool = True, also: Sequence[str] = ()) -> None:
        content = _read(path)
        self.images: Images = images_of(content)
        self.categories: List[dict] = categories_of(content)
        has_boxes = with_boxes or 'annotations' in content
        self.annotations: Annotations = annotations_of(content if has_boxes else dict(annotations=[]), also)
        self.names = {category['id']: category['name'] for category in self.categories}
        self._categories = places(self.annotations.category_id, whole_numbers(list(self.names)))
        self.boxes = _boxes(self.images, self.annotations)

    def labels(self, classes: Sequence[str]) -> List[str]:
        """The names of labels 0, 1, ... as mmdet numbers them: in the file's order, whatever that of ``classes`` is."""
        wanted = set(classes)
        return [category['name'] for category in self.categories if category['name'] in wanted]

    def of_classes(self, classes: Sequence[str]) -> np.ndarray:
        """Which annotations have a category among ``classes`` ``(N, )``."""
        wanted = set(classes)
        meant = np.array([name in wanted for name in self.names.values()] + [False])  # the last for no category
        return meant[self._categories]

    def given_images(self, dataset: Mapping, classes: Sequence[str]) -> np.ndarray:
        """Places of the images that mmdet's data set gives, in its order, before its ``indices``."""
        filters, given = dataset.get('filter_cfg') or {}, np.arange(len(self.images.size))
        if dataset.get('test_mode') or not filters:
            return given
        if filters.get('filter_empty_gt'):
            has_boxes = np.zeros(len(given) + 1, bool)  # the last for images that are not there
            has_boxes[self.boxes.image[self.of_classes(classes)]] = True
            given = np.flatnonzero(has_boxes[:-1])
        return given[self.images.size[given].min(axis=1) >= filters.get('min_size', 0)]

    def reaches_beyond(self) -> np.ndarray:
        """Which boxes that are used end beyond their image by a tenth of its side or more ``(N, )``."""
        boxes = self.boxes
        ends = boxes.xywh[:, :2] + boxes.xywh[:, 2:]
        return boxes.used & (boxes.image >= 0) & (ends > 1.1 * self.images.size[boxes.image] + 2).any(axis=1)

    def unknown_categories(self) -> list:
        """Numbers of categories that annotations have and the file does not list, in order."""
        numbers = [_plain(self.annotations.category_id[index]) for index in np.flatnonzero(self._categories < 0)]
        try:
            return sorted(set(numbers), key=str)
        except TypeError:  # lists and objects
            return sorted(set(map(str, numbers)))

    def name_of(self, annotation: int) -> str:
        """The image of an annotation, for a message."""
        place, number = self.boxes.image[annotation], _plain(self.annotations.image_id[annotation])
        image = self.images.file_name[place] if place >= 0 else f'image_id {number!r}'
        return f'{image} (annotation {_plain(self.annotations.id[annotation])!r})'


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
    if key not in _parsed:
        parsed = parse(path.read_bytes())
        for old in [old for old in _parsed if old[0] == key[0]]:
            del _parsed[old]
        _parsed[key] = parsed
    return _parsed[key]


def _boxes(images: Images, annotations: Annotations) -> Boxes:
    image = places(annotations.image_id, images.id)
    x, y, width, height = annotations.xywh.T
    count = len(annotations.xywh)
    limits = np.where(image[:, None] >= 0, images.size[image], 0) if len(images.size) else np.zeros((count, 2))
    with np.errstate(invalid='ignore', over='ignore'):
        inside = ((np.minimum(x + width, limits[:, 0]) - np.maximum(x, 0) > 0)
                  & (np.minimum(y + height, limits[:, 1]) - np.maximum(y, 0) > 0))
        used = (inside & (annotations.area > 0) & (width >= 1) & (height >= 1)
                & ~annotations.ignored)  # CocoDataset.parse_data_info's rule
    return Boxes(image, annotations.xywh, used, annotations.crowd, annotations.ignored)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def unusable_boxes(file: CocoFile, classes: Sequence[str]) -> Iterator[Tuple[str, bool]]:
    """What of a file's annotations mmdet would leave out without a word.

    Args:
        file: The file.
        classes: The data set's classes.

    Yields:
        tuple: One line, and whether a run cannot go on with it.
    """
    boxes, total = file.boxes, len(file.annotations.xywh)
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
        (file.reaches_beyond() if total else ~finite, "reach beyond their image by a tenth of its side or more",
         "mmdet cuts them off there. COCO's are left, top, width and height, not two corners"),
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
    kinds = [{'int'} if isinstance(ids, np.ndarray) else {type(number).__name__ for number in ids}
             for ids in (file.images.id, file.annotations.image_id)]
    if kinds[0] != kinds[1]:
        names = dict(int='whole numbers', str='strings', list='lists', dict='objects')
        said = [' or '.join(sorted(names.get(kind, kind) for kind in kind_set)) for kind_set in kinds]
        return f"Images' ids are {said[0]}, annotations' image_ids {said[1]}: write them alike"
    return 'Correct them, or add the images'


__all__ = ['Boxes', 'CocoFile', 'CocoFileError', 'hand_over_to_mmdet', 'take_parsed', 'unusable_boxes']
