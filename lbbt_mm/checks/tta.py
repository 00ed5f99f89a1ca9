"""Check of test-time augmentation before a run starts: a ratio can leave less of an image than a patch."""
import inspect
from typing import Any, Iterator, Mapping, Optional, Sequence, Tuple

from mmcv import rescale_size
from mmengine.config import Config
from PIL import Image

from ..registry import type_name
from .image_files import Budget
from .segmentation import build_without_pipeline, sample_infos, segmentation_datasets, segmentor_of


def check_tta_sizes(cfg: Config, loaders: Sequence[str] = ('val_dataloader', ), budget: Optional[Budget] = None) -> None:
    """Check that a segmentor's test-time augmentation leaves every image that is looked at one patch at least.

    Args:
        cfg: A run's config; without ``tta_pipeline`` there is nothing to check.
        loaders: Whose images; only the heads of the files are read.
        budget: Of how many.

    Raises:
        ValueError: If a ratio makes an image narrower or lower than a patch of the encoder.
    """
    resizes = list(_resizes(cfg.get('tta_pipeline')))
    sets = list(segmentation_datasets(cfg, loaders)) if resizes else []
    patch = _patch_size(segmentor_of(cfg)) if sets else None
    if patch is None:
        return
    for where, config in sets:
        paths = [info['img_path'] for info in sample_infos(build_without_pipeline(config), config)]
        images = {size: path for path, size in (budget or Budget()).spend(where, paths, _image_size)}
        for size, name in images.items():
            for resize in resizes if size else ():
                width, height = _resized(size, resize)
                if height < patch[0] or width < patch[1]:
                    scale = resize.get('scale') or resize['scale_factor']
                    raise ValueError(f'tta_pipeline: Resize to {scale!r} makes the image {name}, {size[0]}x{size[1]} '
                                     f'pixels, {width}x{height}, smaller than a patch of {patch[1]}x{patch[0]}. Remove '
                                     'that ratio from tta_pipeline.')


def _patch_size(model: Mapping) -> Optional[Tuple[int, int]]:
    """Height and width of the encoder's patches, its class's default where the config names none; None if it has none."""
    backbone = model.get('backbone') or {}
    patch = backbone.get('patch_size')
    if patch is None and backbone.get('type'):
        from mmseg.registry import MODELS
        kind = backbone['type']
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
        default = inspect.signature(kind).parameters.get('patch_size') if kind else None
        patch = default and default.default
    if isinstance(patch, int):
        return patch, patch
    return tuple(patch) if isinstance(patch, (list, tuple)) else None


def _image_size(path: str) -> Optional[Tuple[int, int]]:
    """Width and height; None if the file is missing or of a format that has no such head."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError:
        return None


def _resizes(pipeline: Any) -> Iterator[Mapping]:
    """Every Resize of fixed size below a pipeline."""
    if isinstance(pipeline, Mapping):
        if type_name(pipeline) == 'Resize' and (pipeline.get('scale') or pipeline.get('scale_factor') is not None):
            yield pipeline
        pipeline = pipeline.get('transforms')
    if isinstance(pipeline, (list, tuple)):
        for step in pipeline:
            yield from _resizes(step)


def _resized(size: Tuple[int, int], resize: Mapping) -> Tuple[int, int]:
    """Width and height after Resize."""
    scale, factor = resize.get('scale'), resize.get('scale_factor')
    if scale is None:
        factors = (factor, factor) if isinstance(factor, (int, float)) else factor
        scale = tuple(int(side * part + 0.5) for side, part in zip(size, factors))
    scale = (scale, scale) if isinstance(scale, int) else tuple(scale)
    if min(scale) <= 0 or not resize.get('keep_ratio', False):
        return scale
    return rescale_size(size, scale)
