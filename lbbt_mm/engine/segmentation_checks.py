"""Checks of segmentation datasets before a run starts, rather than an error or a wrong class in the middle of it."""
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmcv import imfrombytes, rescale_size
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from ..registry import type_name
from .dataset_checks import few, iter_datasets

_LOADERS = ('train_dataloader', 'val_dataloader')
#: Masks that are opened for each data set: all of smaller ones, evenly spaced ones of larger ones.
MOST_MASKS = 2000
_IGNORED = 255


def check_segmentation_datasets(cfg: Config, loaders: Sequence[str] = _LOADERS, most_masks: int = MOST_MASKS) -> None:
    """Check that folders, masks and classes of mmseg's datasets are there and agree with the heads.

    Args:
        cfg: A run's config; datasets other than mmseg's, and remote ones, are passed over.
        loaders: Which data loaders the run uses.
        most_masks: How many masks of a data set are opened.

    Raises:
        FileNotFoundError: If a folder, an image or a mask is absent.
        ValueError: If class counts differ, or a mask holds values outside the classes or has another form.
    """
    seen = set()
    for where, config in _segmentation_datasets(cfg, loaders):
        key = repr({name: value for name, value in config.items() if name != 'pipeline'})
        if key in seen:
            continue
        seen.add(key)
        _check_folders(where, config)
        dataset = _build(config)
        _check_num_classes(where, dataset, cfg)
        infos = _infos(dataset, config)
        loading = _loading_step(config.get('pipeline'))
        _check_files(where, dataset, infos, loading)
        if loading is not None:
            _check_masks(where, dataset, infos, cfg, most_masks, loading)


def check_tta_sizes(cfg: Config, most_masks: int = MOST_MASKS) -> None:
    """Check that test-time augmentation leaves every image at least one patch.

    Args:
        cfg: A run's config with ``tta_pipeline``.
        most_masks: How many masks are opened for their images' sizes.

    Raises:
        ValueError: If a ratio makes an image narrower or lower than a patch of the encoder.
    """
    patch = _patch_size(_model(cfg))
    scales = list(_tta_resizes(cfg.get('tta_pipeline')))
    if patch is None or not scales:
        return
    for _, config in _segmentation_datasets(cfg, ('test_dataloader', )):
        infos = _infos(_build(config), config)
        sizes = {mask.shape[1::-1]: name for name, mask in _masks(infos, most_masks, {}) if mask is not None}
        for size, name in sizes.items():
            for resize in scales:
                width, height = _resized(size, resize)
                if height < patch[0] or width < patch[1]:
                    scale = resize.get('scale') or resize['scale_factor']
                    raise ValueError(f'tta_pipeline: Resize to {scale!r} makes the image of {name}, {size[0]}x{size[1]} '
                                     f'pixels, {width}x{height}, smaller than a patch of {patch[1]}x{patch[0]}. Remove '
                                     'that ratio from tta_pipeline.')


def _segmentation_datasets(cfg: Config, loaders: Sequence[str]) -> Iterator[Tuple[str, Mapping]]:
    for name in loaders:
        for where, config in iter_datasets(cfg.get(name), name):
            if _is_segmentation(config, cfg.get('default_scope')) and not _is_remote(config):
                yield where, config


def _is_segmentation(config: Mapping, scope: Optional[str]) -> bool:
    kind = config.get('type')
    if isinstance(kind, str) and scope != 'mmseg' and not kind.startswith('mmseg.'):
        return False
    try:
        from mmseg.datasets import BaseSegDataset
        from mmseg.registry import DATASETS
    except Exception:  # without mmseg, building the run says what to install
        return False
    found = DATASETS.get(kind) if isinstance(kind, str) else kind
    return isinstance(found, type) and issubclass(found, BaseSegDataset)


def _is_remote(config: Mapping) -> bool:
    return bool(config.get('backend_args')) or '://' in f'{config.get("data_root")}{config.get("data_prefix")}'


def _build(config: Mapping) -> Any:
    """The dataset without its pipeline: it knows its files, classes and label map."""
    from mmseg.registry import DATASETS
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build({**config, 'pipeline': [], 'lazy_init': True})


def _infos(dataset: Any, config: Mapping) -> List[Mapping]:
    """What the dataset knows of its samples; of those that ``indices`` leaves, where it is set."""
    infos, indices = dataset.load_data_list(), config.get('indices')
    if indices is None:
        return infos
    if isinstance(indices, int):
        return infos[:indices] if indices >= 0 else infos[indices:]
    return [infos[index] for index in indices]


def _loading_step(pipeline: Any) -> Optional[Mapping]:
    """mmseg's LoadAnnotations in a pipeline; None if masks are loaded otherwise, or not at all."""
    steps = pipeline if isinstance(pipeline, (list, tuple)) else []
    return next((step for step in steps if type_name(step) == 'LoadAnnotations'), None)


def _check_folders(where: str, config: Mapping) -> None:
    root = Path(config.get('data_root') or '')
    for key, folder in (config.get('data_prefix') or {}).items():
        if folder and not (root / folder).is_dir():
            raise FileNotFoundError(f'{where}.data_prefix.{key}: {root / folder} is not a folder. Expected {folder!r} below '
                                    'data_root. Correct data_root and data_prefix, or LBBT_DATA_ROOT (now '
                                    f'{os.environ.get("LBBT_DATA_ROOT", "unset")}).')
    listed = config.get('ann_file')
    if listed and not (root / listed).exists():
        raise FileNotFoundError(f'{where}.ann_file: {root / listed} does not exist. Expected a file with an image name a '
                                'line; correct data_root and ann_file.')


def _check_num_classes(where: str, dataset: Any, cfg: Config) -> None:
    classes = dataset.metainfo.get('classes')
    if classes is None:
        return
    for name, head in _heads(_model(cfg)):
        count = head.get('num_classes')
        if 'boundary_threshold' in head:  # STDC's and PIDNet's learn where classes meet
            continue
        if count is not None and count != len(classes) and not (count == 1 or head.get('out_channels') == 1):
            raise ValueError(f'{where} has {len(classes)} classes ({few(classes)}), but model.{name}.num_classes={count}. '
                             f'Set model.{name}.num_classes={len(classes)}, or metainfo=dict(classes=...) of the data set.')


def _check_files(where: str, dataset: Any, infos: Sequence[Mapping], loading: Optional[Mapping]) -> None:
    if not infos:
        folder = dataset.data_prefix.get('img_path')
        raise FileNotFoundError(f'{where}: {folder} holds no image *{dataset.img_suffix}. Expected at least one; correct '
                                'data_root, data_prefix or img_suffix.')
    if loading is not None and 'seg_map_path' not in infos[0]:
        raise ValueError(f'{where}: its images have no masks, but its pipeline loads them. Set data_prefix.seg_map_path to '
                         'their folder.')
    for key, what in (('img_path', 'images'), ('seg_map_path', 'masks')):
        paths = [info[key] for info in infos if key in info]
        present: Dict[str, set] = {}
        for path in paths:
            folder = os.path.dirname(path)
            if folder not in present:
                present[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        missing = [path for path in paths if os.path.basename(path) not in present[os.path.dirname(path)]]
        if missing:
            raise FileNotFoundError(f'{where}: {len(missing)} of {len(paths)} {what} are missing, first {missing[0]}. '
                                    'Expected a mask for each image, of the same name with the suffix '
                                    f'{dataset.seg_map_suffix!r}. Add them, or remove the images.')


def _check_masks(where: str, dataset: Any, infos: Sequence[Mapping], cfg: Config, most_masks: int,
                 loading: Mapping) -> None:
    heads = [head for _, head in _heads(_model(cfg))]
    count = len(dataset.metainfo.get('classes') or ()) or next((head.get('num_classes') for head in heads), None)
    ignored = heads[0].get('ignore_index', _IGNORED) if heads else _IGNORED
    if count is None:
        return
    labels = [_label(value, dataset) for value in range(256)]
    checked = 0
    for name, mask in _masks(infos, most_masks, loading):
        if mask is None:
            raise ValueError(f'{where}: {name} cannot be read as an image. Expected a mask of one channel with 8 bits; '
                             'replace it.')
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise ValueError(f'{where}: the mask {name} has shape {mask.shape} and type {mask.dtype}; expected one channel '
                             "of 8 bits that holds class numbers, as mmseg's dataset converters write it. Convert it.")
        values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
        stray = [int(value) for value in values if labels[value] >= count and labels[value] != ignored]
        if stray:
            zero = dataset.reduce_zero_label
            expected = f'1 to {count}' if zero else f'0 to {count - 1}'
            nothing = ' or '.join(str(value) for value in range(256) if labels[value] == ignored) or 'nothing'
            raise ValueError(f'{where}: the mask {name} holds {few(stray)}; expected {expected}, for {count} classes with '
                             f'reduce_zero_label={zero}, and {nothing} where pixels are ignored. Correct the mask, the '
                             'number of classes, or reduce_zero_label.')
        checked += 1
    of_all = '' if checked == len(infos) else f' of {len(infos)}, evenly spaced,'
    print_log(f'{where}: {checked} masks{of_all} hold no value outside the {count} classes.', logger='current')


def _label(value: int, dataset: Any) -> int:
    """What mmseg's LoadAnnotations makes of a mask's value."""
    if dataset.reduce_zero_label:
        value = _IGNORED if value in (0, _IGNORED) else value - 1
    return (dataset.label_map or {}).get(value, value)


def _masks(infos: Sequence[Mapping], most: int, loading: Mapping) -> Iterator[Tuple[str, Optional[np.ndarray]]]:
    """Names and masks as LoadAnnotations decodes them; None for a file that is no image."""
    number = min(len(infos), most)
    for index in range(number):
        path = infos[index * len(infos) // number].get('seg_map_path')
        if path is None:
            continue
        try:
            yield path, imfrombytes(Path(path).read_bytes(), 'unchanged',
                                    backend=loading.get('imdecode_backend', 'pillow')).squeeze()
        except (OSError, ValueError, AttributeError):  # what the decoders make of other bytes
            yield path, None


def _model(cfg: Config) -> Mapping:
    """The segmentor's config, within test-time augmentation or not."""
    model = cfg.get('model') or {}
    return model['module'] if isinstance(model.get('module'), Mapping) else model


def _heads(model: Mapping) -> Iterator[Tuple[str, Mapping]]:
    for name in ('decode_head', 'auxiliary_head'):
        heads = model.get(name)
        for index, head in enumerate(heads if isinstance(heads, (list, tuple)) else [heads]):
            if isinstance(head, Mapping):
                yield (f'{name}.{index}' if isinstance(heads, (list, tuple)) else name), head


def _patch_size(model: Mapping) -> Optional[Tuple[int, int]]:
    """Height and width of the encoder's patches; None if it has none."""
    patch = (model.get('backbone') or {}).get('patch_size')
    if patch is None or isinstance(patch, int):
        return patch and (patch, patch)
    return tuple(patch)


def _tta_resizes(pipeline: Any) -> Iterator[Mapping]:
    """Every Resize of fixed size below a pipeline."""
    if isinstance(pipeline, Mapping):
        if type_name(pipeline) == 'Resize' and (pipeline.get('scale') or pipeline.get('scale_factor') is not None):
            yield pipeline
        pipeline = pipeline.get('transforms')
    if isinstance(pipeline, (list, tuple)):
        for step in pipeline:
            yield from _tta_resizes(step)


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
