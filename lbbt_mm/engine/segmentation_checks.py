"""Checks of segmentation datasets before a run starts, rather than an error or a wrong class in the middle of it."""
import logging
import os
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmcv import imfrombytes
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from ..registry import type_name
from .dataset_checks import TRAINING_LOADERS, few, is_remote, iter_datasets

_IGNORED = 255


def check_segmentation_datasets(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS) -> None:
    """Check that folders, masks and classes of mmseg's datasets are there and agree with the heads.

    Every mask is opened, by all cores together (20,000 of ADE20K's size are about a minute of CPU time); the ranks of a
    distributed run share them out.

    Args:
        cfg: A run's config; datasets other than mmseg's, and remote ones, are passed over.
        loaders: Which data loaders the run uses.

    Raises:
        FileNotFoundError: If a folder, an image or a mask is absent.
        ValueError: If class counts differ, or a mask holds values outside the classes or has another form.
    """
    seen = set()
    for where, config in segmentation_datasets(cfg, loaders):
        loading = _loading_step(config.get('pipeline'))
        key = repr([loading, {name: value for name, value in config.items() if name != 'pipeline'}])
        if key in seen:
            continue
        seen.add(key)
        _check_folders(where, config)
        dataset = build_without_pipeline(config)
        _check_num_classes(where, dataset, cfg)
        infos = sample_infos(dataset, config)
        _check_files(where, dataset, infos, loading)
        if loading is not None:
            _check_masks(where, dataset, infos, cfg, loading)


def segmentation_datasets(cfg: Config, loaders: Sequence[str]) -> Iterator[Tuple[str, Mapping]]:
    """Where mmseg's local datasets are in a run's config, and their configs."""
    for name in loaders:
        for where, config in iter_datasets(cfg.get(name), name):
            if _is_segmentation(config, cfg.get('default_scope')) and not is_remote(config):
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


def build_without_pipeline(config: Mapping) -> Any:
    """A dataset without its pipeline: it knows its files, classes and label map."""
    from mmseg.registry import DATASETS
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build({**config, 'pipeline': [], 'lazy_init': True})


def sample_infos(dataset: Any, config: Mapping) -> List[Mapping]:
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
    for name, head in _heads(segmentor_of(cfg)):
        count = head.get('num_classes')
        if 'boundary_threshold' in head:  # STDC's and PIDNet's learn where classes meet
            continue
        # two classes can be one channel with a threshold
        if len(classes) == 2 and (count == 1 or head.get('out_channels') == 1):
            continue
        if count is not None and count != len(classes):
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


def _check_masks(where: str, dataset: Any, infos: Sequence[Mapping], cfg: Config, loading: Mapping) -> None:
    heads = [head for _, head in _heads(segmentor_of(cfg))]
    count = len(dataset.metainfo.get('classes') or ()) or next((head.get('num_classes') for head in heads), None)
    ignored = heads[0].get('ignore_index', _IGNORED) if heads else _IGNORED
    if count is None:
        return
    labels = np.array([_label(value, dataset) for value in range(256)])
    rank, ranks = _share()
    paths = [info['seg_map_path'] for info in infos if 'seg_map_path' in info][rank::ranks]
    backend, highest = loading.get('imdecode_backend', 'pillow'), -1
    with ThreadPool(len(os.sched_getaffinity(0))) as pool:  # decoders leave Python alone
        for path, (problem, values) in zip(paths, pool.imap(lambda path: _mask_values(path, backend), paths, chunksize=16)):
            if problem:
                raise ValueError(f'{where}: the mask {path} {problem}')
            found = labels[values]
            stray = values[(found >= count) & (found != ignored)].tolist()
            if stray:
                zero = dataset.reduce_zero_label
                expected = f'1 to {count}' if zero else f'0 to {count - 1}'
                nothing = ' or '.join(map(str, np.flatnonzero(labels == ignored))) or 'nothing'
                raise ValueError(f'{where}: the mask {path} holds {few(stray)}; expected {expected}, for {count} classes '
                                 f'with reduce_zero_label={zero}, and {nothing} where pixels are ignored. Correct the '
                                 'mask, the number of classes, or reduce_zero_label.')
            highest = max(highest, *found[found < count].tolist(), -1)
    share = '' if ranks == 1 else f' (share {rank + 1} of {ranks})'
    print_log(f'{where}: {len(paths)} masks{share} hold no value outside the {count} classes.', logger='current')
    if -1 < highest < count - 1 and ranks == 1:
        print_log(f'{where}: the highest class in its masks is number {highest + 1} of {count}. If it has no more classes, '
                  f'set num_classes={highest + 1} (in the small preset: LBBT_NUM_CLASSES={highest + 1}).', logger='current',
                  level=logging.WARNING)


def _share() -> Tuple[int, int]:
    """This process's rank and the number of ranks, as torchrun or slurm says; the process group is not there yet."""
    for rank, ranks in (('RANK', 'WORLD_SIZE'), ('SLURM_PROCID', 'SLURM_NTASKS')):
        if rank in os.environ and ranks in os.environ:
            return int(os.environ[rank]), int(os.environ[ranks])
    return 0, 1


def _mask_values(path: str, backend: str) -> Tuple[str, Optional[np.ndarray]]:
    """What is wrong with a mask's form, or nothing; and which values it holds, as LoadAnnotations decodes it."""
    try:
        mask = imfrombytes(Path(path).read_bytes(), 'unchanged', backend=backend).squeeze()
    except (OSError, ValueError, AttributeError):  # what the decoders make of other bytes
        return 'cannot be read as an image. Expected one of one channel with 8 bits; replace it.', None
    if mask.ndim == 2 and mask.dtype != np.uint8 and (mask.dtype == bool or mask.min() >= 0 and mask.max() <= 255):
        mask = mask.astype(np.uint8)  # as LoadAnnotations does
    if mask.ndim != 2 or mask.dtype != np.uint8:
        return (f'has shape {mask.shape} and type {mask.dtype}; expected one channel of 8 bits that holds class numbers, as '
                "mmseg's dataset converters write it. Convert it."), None
    return '', np.flatnonzero(np.bincount(mask.ravel(), minlength=256))


def _label(value: int, dataset: Any) -> int:
    """What mmseg's LoadAnnotations makes of a mask's value."""
    if dataset.reduce_zero_label:
        value = _IGNORED if value in (0, _IGNORED) else value - 1
    return (dataset.label_map or {}).get(value, value)


def segmentor_of(cfg: Config) -> Mapping:
    """The segmentor's config, within test-time augmentation or not."""
    model = cfg.get('model') or {}
    return model['module'] if isinstance(model.get('module'), Mapping) else model


def _heads(model: Mapping) -> Iterator[Tuple[str, Mapping]]:
    for name in ('decode_head', 'auxiliary_head'):
        heads = model.get(name)
        for index, head in enumerate(heads if isinstance(heads, (list, tuple)) else [heads]):
            if isinstance(head, Mapping):
                yield (f'{name}.{index}' if isinstance(heads, (list, tuple)) else name), head
