"""Check of test-time augmentation before a run starts: a ratio can leave less of an image than a patch."""
import inspect
from contextlib import suppress
from itertools import product
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from mmcv import rescale_size
from mmengine.config import Config
from mmengine.utils import to_2tuple

from ..config_keys import find_types, get_key
from .datasets import class_of
from .image_files import SAMPLE, Budget
from .problems import Problem
from .segmentation import image_sizes, segmentation_datasets


def tta_problems(cfg: Config, loaders: Sequence[str] = ('val_dataloader', ),
                 budget: Budget = SAMPLE) -> Iterator[Problem]:
    """Check that a segmentor's test-time augmentation leaves every image that is looked at one patch at least.

    Args:
        cfg: A run's config; without ``tta_pipeline`` there is nothing to check.
        loaders: Whose images; only the heads of the files are read.
        budget: Of how many.

    Yields:
        Problem: A ratio that makes an image narrower or lower than a patch of the encoder.
    """
    resizes = [part for _, part in find_types(cfg.get('tta_pipeline'), 'Resize')
               if part.get('scale') or part.get('scale_factor') is not None]
    sets = list(segmentation_datasets(cfg, loaders)) if resizes else []
    patch = _patch_size(get_key(cfg, 'model.module.backbone') or get_key(cfg, 'model.backbone')) if sets else None
    for found in sets if patch else ():
        images = {}
        with suppress(FileNotFoundError):  # which the check of the data set says
            images = image_sizes(found, budget)
        for (size, name), resize in product(images.items(), resizes):
            width, height = _resized(size, resize)
            if height < patch[0] or width < patch[1]:
                yield Problem('tta_pipeline', f'Resize to {resize.get("scale") or resize["scale_factor"]!r} makes the image '
                              f'{name}, {size[0]}x{size[1]} pixels, {width}x{height}, smaller than a patch of '
                              f'{patch[1]}x{patch[0]}. Remove that ratio from tta_pipeline.')
                return


def _patch_size(backbone: Optional[Mapping]) -> Optional[Tuple[int, int]]:
    """Height and width of the encoder's patches, its class's default where the config names none; None if it has none."""
    backbone = backbone or {}
    patch = backbone.get('patch_size')
    if patch is None and backbone.get('type'):
        from mmseg.registry import MODELS
        kind = class_of(backbone['type'], 'mmseg', MODELS)
        default = inspect.signature(kind).parameters.get('patch_size') if kind else None
        patch = default and default.default
    return to_2tuple(patch) if isinstance(patch, (int, list, tuple)) else None


def _resized(size: Tuple[int, int], resize: Mapping) -> Tuple[int, int]:
    """Width and height after Resize."""
    scale, factor = resize.get('scale'), resize.get('scale_factor')
    if scale is None:
        scale = [int(side * part + 0.5) for side, part in zip(size, to_2tuple(factor))]
    scale = tuple(to_2tuple(scale))
    if min(scale) <= 0 or not resize.get('keep_ratio', False):
        return scale
    return rescale_size(size, scale)
