"""An annotation file in COCO's format: parsed once, with what mmdet would make of each box."""
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from .coco_columns import columns_of, parse, places, plain_list
from .problems import counted

#: Parsed files that a data set of this process may still take over: real path -> size and time of change, content.
_parsed: Dict[str, Tuple[Tuple[int, int], dict]] = {}


class CocoFile:
    """Content of an annotation file whose form has been checked.

    Args:
        path: The file.
        with_boxes: Whether its annotations matter; a test split may have none.
        also: Fields that each annotation has to have beside those that mmdet reads, since an evaluator reads them.

    Raises:
        CocoFileError: If it is not a file in COCO's format, or lacks what mmdet or its evaluator need.

    Attributes:
        path: The file.
        images: Columns of its images, and their ``size``, width and height in pixels ``(I, 2)``.
        annotations: Columns of its ``N`` annotations; ``crowd`` and ``ignored`` tell which it calls so ``(N, )``.
        names: Number of a category -> its name.
        place: Place of an annotation's image in the list of images ``(N, )``, -1 for an id that is not there.
        used: Whether mmdet trains on it, by all but its category ``(N, )``.
    """

    def __init__(self, path: Path, with_boxes: bool = True, also: Sequence[str] = ()) -> None:
        self.path, content = path, _read(path)
        self.images, categories = columns_of(content, 'images'), columns_of(content, 'categories')
        self.images.size = np.stack([self.images.width, self.images.height], axis=1)
        if not with_boxes and 'annotations' not in content:
            content = dict(annotations=[])
        self.annotations = columns_of(content, 'annotations', also)
        self.annotations.crowd, self.annotations.ignored = (
            np.array([bool(entry.get(name)) for entry in content['annotations']], bool) for name in ('iscrowd', 'ignore'))
        self.names = dict(zip(plain_list(categories.id), categories.name))
        self._categories = places(self.annotations.category_id, categories.id)
        self.place = places(self.annotations.image_id, self.images.id)
        self.used = _used(self.annotations, self.images.size, self.place)

    def labels(self, classes: Sequence[str]) -> List[str]:
        """The names of labels 0, 1, ... as mmdet numbers them: in the file's order, whatever that of ``classes`` is."""
        return [name for name in self.names.values() if name in classes]

    def of_classes(self, classes: Sequence[str]) -> np.ndarray:
        """Which annotations have a category among ``classes`` ``(N, )``."""
        meant = np.array([name in classes for name in self.names.values()] + [False])  # the last for no category
        return meant[self._categories]

    def given_images(self, dataset: Mapping, classes: Sequence[str]) -> np.ndarray:
        """Places of the images that mmdet's data set gives, in its order, before its ``indices``."""
        filters, given = dataset.get('filter_cfg') or {}, np.arange(len(self.images.size))
        if dataset.get('test_mode') or not filters:
            return given
        if filters.get('filter_empty_gt'):
            has_boxes = np.zeros(len(given) + 1, bool)  # the last for images that are not there
            has_boxes[self.place[self.of_classes(classes)]] = True
            given = np.flatnonzero(has_boxes[:-1])
        return given[self.images.size[given].min(axis=1) >= filters.get('min_size', 0)]

    def unknown_categories(self) -> list:
        """Numbers of categories that annotations have and the file does not list, in order."""
        unknown = np.flatnonzero(self._categories < 0)
        ids = plain_list(self.annotations.category_id) if len(unknown) else []
        numbers = [ids[place] for place in unknown]
        try:
            return sorted(set(numbers), key=str)
        except TypeError:  # lists and objects
            return sorted(set(map(str, numbers)))

    def name_of(self, annotation: int) -> str:
        """The image of an annotation, for a message."""
        number, image_id = (plain_list(ids)[annotation] for ids in (self.annotations.id, self.annotations.image_id))
        place = self.place[annotation]
        image = self.images.file_name[place] if place >= 0 else f'image_id {image_id!r}'
        return f'{image} (annotation {number!r})'


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
            stamp, content = _parsed.pop(os.path.realpath(annotation_file or ''), (None, None))
            is_same = stamp is not None and stamp == _stamp(annotation_file)
            super().__init__(None if is_same else annotation_file)
            if is_same:
                self.dataset = content
                self.createIndex()
                self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    if CocoDataset.COCOAPI is COCO:
        CocoDataset.COCOAPI = ParsedCOCO


def _stamp(path: Any) -> Tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _read(path: Path) -> dict:
    key, stamp = os.path.realpath(path), _stamp(path)
    if key not in _parsed or _parsed[key][0] != stamp:
        _parsed[key] = stamp, parse(path.read_bytes())
    return _parsed[key][1]


def _used(annotations: SimpleNamespace, sizes: np.ndarray, place: np.ndarray) -> np.ndarray:
    """CocoDataset.parse_data_info's rule."""
    x, y, width, height = annotations.bbox.T
    limits = np.where(place[:, None] >= 0, sizes[place], 0) if len(sizes) else np.zeros((len(place), 2))
    with np.errstate(invalid='ignore', over='ignore'):
        inside = ((np.minimum(x + width, limits[:, 0]) - np.maximum(x, 0) > 0)
                  & (np.minimum(y + height, limits[:, 1]) - np.maximum(y, 0) > 0))
        return inside & (annotations.area > 0) & (width >= 1) & (height >= 1) & ~annotations.ignored


def unusable_boxes(file: CocoFile, classes: Sequence[str]) -> Iterator[Tuple[str, bool]]:
    """What of a file's annotations mmdet would leave out without a word.

    Args:
        file: The file.
        classes: The data set's classes.

    Yields:
        tuple: One line, and whether a run cannot go on with it.
    """
    found, used, stray, meant = file.annotations, file.used, file.place < 0, file.of_classes(classes)
    total, xywh = len(stray), found.bbox
    with np.errstate(invalid='ignore', over='ignore'):
        finite = np.isfinite(xywh).all(axis=1)
        fraction = finite & (xywh >= 0).all(axis=1) & (xywh <= 1).all(axis=1) & ~used & ~stray
        limits = 1.1 * file.images.size[file.place] + 2 if total and len(file.images.size) else xywh[:, 2:]
        beyond = used & ~stray & (xywh[:, :2] + xywh[:, 2:] > limits).any(axis=1)
    reasons = (
        (stray, 'have an image_id that no image has', _id_hint(file) if stray.any() else ''),
        (~finite & used, 'have a bbox that is not finite', 'Correct them: mmdet would train on infinite boxes'),
        (~finite & ~used & ~stray, 'have a bbox that is not a number', 'Correct them, or leave them out'),
        (fraction, 'have coordinates from 0 to 1', "Multiply them by the image's width and height: COCO's are pixels"),
        (finite & ~used & ~found.ignored & ~fraction & ~stray, 'lie outside of their image, are less than a pixel wide or '
         'high, or have no area', 'Correct them, or leave them out'),
        (beyond, "reach beyond their image by a tenth of its side or more", "mmdet cuts them off there. COCO's are left, "
         'top, width and height, not two corners'),
        (~meant, 'have a category that is not among the classes',
         'Add it to metainfo.classes and num_classes if it is meant to be learned'))
    said = [(f'{counted(int(which.sum()), total, "boxes")} {what}, first in {file.name_of(int(np.flatnonzero(which)[0]))}. '
             f'{remedy}', 'not finite' in what) for which, what, remedy in reasons if which.any()]
    if (used & meant & ~found.crowd & ~stray).any():
        yield from said
        return
    empty = 'all of them are crowds or ignored' if total else "its list 'annotations' is empty"
    yield f'no box can be used: {said[0][0] if said else empty}', True


def _id_hint(file: CocoFile) -> str:
    names = dict(int='whole numbers', str='strings', list='lists', dict='objects')
    ours, theirs = (sorted({names.get(type(number).__name__, 'others') for number in plain_list(ids)})
                    for ids in (file.images.id, file.annotations.image_id))
    if ours != theirs:
        return f"Images' ids are {' or '.join(ours)}, annotations' image_ids {' or '.join(theirs)}: write them alike"
    return 'Correct them, or add the images'
