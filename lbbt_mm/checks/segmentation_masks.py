"""Masks of a segmentation data set: can they be read, are they of their images' sizes, and do they hold its classes?"""
import logging
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from mmcv import imfrombytes
from mmengine.logging import print_log

from .datasets import pipeline_step
from .image_files import Budget, Size, look_at_image, missing_files
from .problems import Problem, few, of_some

#: What losses and metrics ignore where nothing else is said
IGNORED = 255


class _Mask(NamedTuple):
    """What was seen of a mask: its path, what is wrong with its form, its values, its size, and that of its image."""
    path: str
    fault: str = ''
    values: Optional[np.ndarray] = None
    size: Optional[Size] = None
    image_size: Optional[Size] = None


def check_masks(where: str, dataset: Any, infos: Sequence[Mapping], heads: Sequence[Mapping], pipeline: Any,
                budget: Budget) -> Iterator[Problem]:
    """Look at masks that a run will load.

    Args:
        where: The data set.
        dataset: The data set itself, which knows its classes and how it numbers them.
        infos: What it knows of its samples.
        heads: Configs of the segmentor's heads.
        pipeline: Its pipeline, which loads masks.
        budget: How many to open.

    Yields:
        Problem: What is wrong, in one line each.
    """
    count = len(dataset.metainfo.get('classes') or ()) or next((head.get('num_classes') for head in heads), None)
    ignored = heads[0].get('ignore_index', IGNORED) if heads else IGNORED
    backend = pipeline_step(pipeline, 'LoadAnnotations').get('imdecode_backend', 'pillow')
    loading = pipeline_step(pipeline, 'LoadImageFromFile') or {}
    pairs = [info for info in infos if 'seg_map_path' in info]
    missing = missing_files([info['seg_map_path'] for info in pairs])
    yield from of_some(where, missing, len(pairs), 'masks are missing', 'Expected a mask for each image, of the same name '
                       f'with the suffix {dataset.seg_map_suffix!r}. Add them, or remove the images.', fatal=True)
    if missing:
        return
    seen = [mask for _, mask in budget.spend(where, pairs, lambda info: _look_at_mask(info, backend, loading))]
    asked = '' if len(seen) == len(pairs) else ' that were looked at'
    broken = next((mask for mask in seen if mask.fault), None)
    if broken:
        yield Problem(where, f'the mask {broken.path} {broken.fault}')
        return
    yield from _compare_sizes(where, seen, asked)
    if count is not None:
        yield from _check_values(where, dataset, seen, count, ignored, asked)


def _check_values(where: str, dataset: Any, seen: Sequence[_Mask], count: int, ignored: int,
                  asked: str) -> Iterator[Problem]:
    labels, zero = np.array([_label(value, dataset) for value in range(256)]), dataset.reduce_zero_label
    expected = f'1 to {count}' if zero else f'0 to {count - 1}'
    nothing = list(map(str, np.flatnonzero(labels == ignored)))
    used, empty = set(), []
    for mask in seen:
        found = labels[mask.values]
        stray = mask.values[(found >= count) & (found != ignored)].tolist()
        if stray:
            yield Problem(where, f'the mask {mask.path} holds {few(stray)}; expected {expected}, for {count} classes with '
                          f'reduce_zero_label={zero}, and {" or ".join(nothing) or "nothing"} where pixels are ignored. '
                          'Correct the mask, the number of classes, or reduce_zero_label.')
            return
        present = set(found[found != ignored].tolist())
        used |= present
        empty += [] if present else [mask.path]
    yield from of_some(where, empty, len(seen), f'masks{asked} have no labelled pixel',
                       f'Ignored are {" and ".join(nothing)} (reduce_zero_label={zero}); correct the masks or '
                       'reduce_zero_label.')
    if not empty and len(used) == 1 < count and any(IGNORED in mask.values for mask in seen):
        yield Problem(where, f'the masks{asked} hold one class alone, number {min(used) + 1}, and 255, which is ignored, so '
                      'any prediction would be right. If 255 stands for a class, write it as its number (0 to '
                      f'{count - 1}).')
    print_log(f'{where}: {len(seen)} masks{asked} hold no value outside the {count} classes.', 'current', logging.INFO)
    highest = max(used, default=-1)
    if not asked and -1 < highest < count - 1:
        yield Problem(where, f'the highest class in its masks is number {highest + 1} of {count}. If it has no more '
                      f'classes, set num_classes={highest + 1} (in the small preset: LBBT_NUM_CLASSES={highest + 1}).',
                      fatal=False)


def _compare_sizes(where: str, seen: Sequence[_Mask], asked: str) -> Iterator[Problem]:
    known = [mask for mask in seen if mask.size and mask.image_size]
    wrong = [mask for mask in known if mask.size != mask.image_size]
    shown = ['{}: {}x{} pixels, its image {}x{}'.format(mask.path, *mask.size, *mask.image_size) for mask in wrong]
    turned = wrong and wrong[0].size == wrong[0].image_size[::-1]
    yield from of_some(where, shown, len(known), f'masks{asked} are of another size than their images',
                       'Turn the mask: the image is loaded as its EXIF orientation says.' if turned else
                       'Resize the mask with nearest-neighbour interpolation.', fatal=True)


def _look_at_mask(info: Mapping, backend: str, loading: Mapping) -> _Mask:
    path = info['seg_map_path']
    try:
        mask = imfrombytes(Path(path).read_bytes(), 'unchanged', backend=backend).squeeze()
    except Exception:  # what the decoders make of other bytes
        return _Mask(path, 'cannot be read as an image. Expected one of one channel with 8 bits; replace it.')
    if mask.ndim == 2 and mask.dtype != np.uint8 and (mask.dtype == bool or mask.min() >= 0 and mask.max() <= 255):
        mask = mask.astype(np.uint8)  # as LoadAnnotations does
    if mask.ndim != 2 or mask.dtype != np.uint8:
        return _Mask(path, f'has shape {mask.shape} and type {mask.dtype}; expected one channel of 8 bits that holds class '
                     "numbers, as mmseg's dataset converters write it. Convert it.")
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return _Mask(path, '', values, mask.shape[::-1], look_at_image(info['img_path'], loading, decode=False).size)


def _label(value: int, dataset: Any) -> int:
    """What mmseg's LoadAnnotations makes of a mask's value."""
    if dataset.reduce_zero_label:
        value = IGNORED if value in (0, IGNORED) else value - 1
    return (dataset.label_map or {}).get(value, value)
