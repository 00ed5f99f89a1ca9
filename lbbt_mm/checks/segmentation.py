"""Segmentation data sets: do folders, masks, classes and heads mean the same, rather than a wrong class in the middle?"""
import os
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmcv import imfrombytes
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from ..registry import type_name
from .datasets import ALL_LOADERS, TRAINING_LOADERS, evaluators_of, is_remote, iter_datasets, pipeline_step
from .image_files import Budget, look_at_image, look_at_images, missing_files, paths_below
from .problems import Problem, counted, few

_IGNORED = 255
#: Files of these are images, whichever of them a data set lists
_IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')


def segmentation_problems(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS,
                          budget: Optional[Budget] = None) -> Iterator[Problem]:
    """Check that folders, masks and classes of mmseg's datasets are there and agree with the heads and with each other.

    Args:
        cfg: A run's config; datasets other than mmseg's, and remote ones, are passed over.
        loaders: Which data loaders the run uses.
        budget: How many images and masks to open.

    Yields:
        Problem: What does not fit.
    """
    seen, budget, present = set(), budget or Budget(), {}
    for where, config in segmentation_datasets(cfg, loaders):
        loading = pipeline_step(config.get('pipeline'), 'LoadAnnotations')
        key = repr([loading, {name: value for name, value in config.items() if name != 'pipeline'}])
        if key in seen:
            continue
        seen.add(key)
        _check_folders(where, config)
        dataset = build_without_pipeline(config)
        _check_num_classes(where, dataset, cfg)
        infos = sample_infos(dataset, config)
        _check_files(where, dataset, infos, loading, present)
        yield from _left_out(where, config, dataset, infos)
        asked = (loading or {}).get('reduce_zero_label')
        if asked is not None and bool(asked) != bool(dataset.reduce_zero_label):
            yield Problem(where, f'its pipeline\'s LoadAnnotations has reduce_zero_label={asked}, the data set itself '
                          f'{dataset.reduce_zero_label}. Set it at the data set, and leave it out of the pipeline.')
        load_image = pipeline_step(config.get('pipeline'), 'LoadImageFromFile') or {}
        yield from look_at_images(where, [info['img_path'] for info in infos], load_image, budget, present=present)
        if loading is not None:
            yield from _check_masks(where, dataset, infos, cfg, loading, load_image, budget)
    for name in loaders:
        yield from _mixed_batches(cfg, name, budget)
        yield from _compare_ignored(cfg, name)
    yield from _compare_meanings(cfg, loaders)


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


def _check_files(where: str, dataset: Any, infos: Sequence[Mapping], loading: Optional[Mapping],
                 present: Dict[str, set]) -> None:
    if not infos:
        folder = dataset.data_prefix.get('img_path')
        raise FileNotFoundError(f'{where}: {folder} holds no image *{dataset.img_suffix}. Expected at least one; correct '
                                'data_root, data_prefix or img_suffix.')
    if loading is not None and 'seg_map_path' not in infos[0]:
        raise ValueError(f'{where}: its images have no masks, but its pipeline loads them. Set data_prefix.seg_map_path to '
                         'their folder.')
    for key, what in (('img_path', 'images'), ('seg_map_path', 'masks')):
        paths = [info[key] for info in infos if key in info]
        missing = missing_files(paths, present)
        if missing:
            raise FileNotFoundError(f'{where}: {len(missing)} of {len(paths)} {what} are missing, first {missing[0]}. '
                                    'Expected a mask for each image, of the same name with the suffix '
                                    f'{dataset.seg_map_suffix!r}. Add them, or remove the images.')


class _Mask(NamedTuple):
    """What was seen of a mask: what is wrong with its form, its values, its size, and that of its image."""
    fault: str = ''
    values: Optional[np.ndarray] = None
    size: Optional[Tuple[int, int]] = None
    image_size: Optional[Tuple[int, int]] = None


def _check_masks(where: str, dataset: Any, infos: Sequence[Mapping], cfg: Config, loading: Mapping, load_image: Mapping,
                 budget: Budget) -> Iterator[Problem]:
    heads = [head for _, head in _heads(segmentor_of(cfg))]
    count = len(dataset.metainfo.get('classes') or ()) or next((head.get('num_classes') for head in heads), None)
    ignored = heads[0].get('ignore_index', _IGNORED) if heads else _IGNORED
    labels = np.array([_label(value, dataset) for value in range(256)])
    backend = loading.get('imdecode_backend', 'pillow')
    pairs = [info for info in infos if 'seg_map_path' in info]
    seen = budget.spend(where, pairs, lambda info: _look_at_mask(info, backend, load_image))
    whole = len(seen) == len(pairs)
    asked = '' if whole else ' that were looked at'
    for info, mask in seen:
        if mask.fault:
            yield Problem(where, f'the mask {info["seg_map_path"]} {mask.fault}')
            return
    yield from _compare_sizes(where, seen, asked)
    if count is None:
        return
    classes: set = set()
    empty, has_ignored = [], False
    for info, mask in seen:
        found = labels[mask.values]
        stray = mask.values[(found >= count) & (found != ignored)].tolist()
        if stray:
            zero = dataset.reduce_zero_label
            expected = f'1 to {count}' if zero else f'0 to {count - 1}'
            nothing = ' or '.join(map(str, np.flatnonzero(labels == ignored))) or 'nothing'
            yield Problem(where, f'the mask {info["seg_map_path"]} holds {few(stray)}; expected {expected}, for {count} '
                          f'classes with reduce_zero_label={zero}, and {nothing} where pixels are ignored. Correct the '
                          'mask, the number of classes, or reduce_zero_label.')
            return
        present = set(found[(found < count) & (found != ignored)].tolist())
        has_ignored |= _IGNORED in mask.values
        classes |= present
        if not present:
            empty.append(info['seg_map_path'])
    if empty:
        yield Problem(where, f'{counted(len(empty), len(seen), "masks")}{asked} have no labelled pixel, first {empty[0]}. '
                      f'Ignored are {" and ".join(map(str, np.flatnonzero(labels == ignored)))} (reduce_zero_label='
                      f'{dataset.reduce_zero_label}); correct the masks or reduce_zero_label.', len(empty) == len(seen))
    elif len(classes) == 1 < count and has_ignored:
        yield Problem(where, f'the masks{asked} hold one class alone, number {min(classes) + 1}, and 255, which is '
                      f'ignored, so any prediction would be right. If 255 stands for a class, write it as its number (0 to '
                      f'{count - 1}).')
    print_log(f'{where}: {len(seen)} masks{"" if whole else f" of {len(pairs)}, evenly spaced,"} hold no value outside the '
              f'{count} classes.', logger='current')
    highest = max(classes, default=-1)
    if whole and -1 < highest < count - 1:
        yield Problem(where, f'the highest class in its masks is number {highest + 1} of {count}. If it has no more '
                      f'classes, set num_classes={highest + 1} (in the small preset: LBBT_NUM_CLASSES={highest + 1}).',
                      fatal=False)


def _compare_sizes(where: str, seen: Sequence[Tuple[Mapping, _Mask]], asked: str) -> Iterator[Problem]:
    known = [(info, mask) for info, mask in seen if mask.size and mask.image_size]
    wrong = [(info, mask) for info, mask in known if mask.size != mask.image_size]
    if wrong:
        info, mask = wrong[0]
        turned = mask.size == mask.image_size[::-1]
        remedy = ('Turn the mask: the image is loaded as its EXIF orientation says' if turned else
                  'Resize the mask with nearest-neighbour interpolation')
        yield Problem(where, f'{counted(len(wrong), len(known), "masks")}{asked} are of another size than their images, '
                      f'first {info["seg_map_path"]}: {mask.size[0]}x{mask.size[1]} pixels, its image '
                      f'{mask.image_size[0]}x{mask.image_size[1]}. {remedy}.')


def _look_at_mask(info: Mapping, backend: str, load_image: Mapping) -> _Mask:
    fault, values, size = _mask_values(info['seg_map_path'], backend)
    return _Mask(fault, values, size, look_at_image(info['img_path'], load_image, decode=False).size)


def _mask_values(path: str, backend: str) -> Tuple[str, Optional[np.ndarray], Optional[Tuple[int, int]]]:
    """What is wrong with a mask's form, or nothing; which values it holds, as LoadAnnotations decodes it; and its size."""
    try:
        mask = imfrombytes(Path(path).read_bytes(), 'unchanged', backend=backend).squeeze()
    except Exception:  # what the decoders make of other bytes
        return 'cannot be read as an image. Expected one of one channel with 8 bits; replace it.', None, None
    if mask.ndim == 2 and mask.dtype != np.uint8 and (mask.dtype == bool or mask.min() >= 0 and mask.max() <= 255):
        mask = mask.astype(np.uint8)  # as LoadAnnotations does
    if mask.ndim != 2 or mask.dtype != np.uint8:
        return (f'has shape {mask.shape} and type {mask.dtype}; expected one channel of 8 bits that holds class numbers, as '
                "mmseg's dataset converters write it. Convert it."), None, None
    return '', np.flatnonzero(np.bincount(mask.ravel(), minlength=256)), mask.shape[::-1]


def _compare_meanings(cfg: Config, loaders: Sequence[str]) -> Iterator[Problem]:
    """One head, one meaning of a label: classes in one order, masks read by one rule. Of another phase it is only said."""
    first: Optional[Tuple[str, Any]] = None
    for loader in sorted(ALL_LOADERS, key=lambda name: name not in loaders):
        for where, config in segmentation_datasets(cfg, [loader]):
            try:
                dataset = build_without_pipeline({**config, 'test_mode': True})
            except Exception:  # that of another phase may not be there
                continue
            first = first or (where, dataset)
            for name, ours, theirs in (
                    ('metainfo.classes', _listed(dataset), _listed(first[1])),
                    ('reduce_zero_label', dataset.reduce_zero_label, first[1].reduce_zero_label)):
                # data sets of two kinds may number their masks in two ways
                if ours == theirs or name == 'reduce_zero_label' and type(dataset) is not type(first[1]):
                    continue
                shown = (few(ours), few(theirs)) if isinstance(ours, list) and isinstance(theirs, list) else (ours, theirs)
                yield Problem(where, f'{name} is {shown[0]}, that of {first[0]} {shown[1]}, so equal labels would mean '
                              'other classes. Set it alike in all data sets.', fatal=loader in loaders)
                return


def _listed(dataset: Any) -> Any:
    classes = dataset.metainfo.get('classes')
    return None if classes is None else list(classes)


def _left_out(where: str, config: Mapping, dataset: Any, infos: Sequence[Mapping]) -> Iterator[Problem]:
    """Files beside those that the data set lists, which it finds by their suffixes."""
    if config.get('ann_file') or config.get('indices') is not None:
        return
    root = config.get('data_root') or ''
    for key, what, option in (('img_path', 'images', 'img_suffix'), ('seg_map_path', 'masks', 'seg_map_suffix')):
        folder = (config.get('data_prefix') or {}).get(key)
        if not folder or not infos or key not in infos[0]:
            continue
        listed = {info[key] for info in infos}
        found = [path for base, _, names in os.walk(os.path.join(root, folder)) for path in paths_below(base, names)
                 if path.lower().endswith(_IMAGES)]
        left = [path for path in found if path not in listed and not os.path.basename(path).startswith('.')]
        if left:  # written in another way perhaps
            listed = set(map(os.path.normpath, listed))
            left = sorted(path for path in map(os.path.normpath, left) if path not in listed)
        if left:
            yield Problem(where, f'{counted(len(left), len(found), what)} are left out, first {left[0]}. It lists images '
                          f'that end in {dataset.img_suffix!r} and their masks in {dataset.seg_map_suffix!r}; rename them, '
                          f'or set {option}, if they are meant to be used.', False)


def _compare_ignored(cfg: Config, loader: str) -> Iterator[Problem]:
    """What the evaluator ignores is what the loss ignores, or the classes of the two are not the same."""
    head = next((head for _, head in _heads(segmentor_of(cfg))), None)
    for evaluator in evaluators_of(cfg.get(loader.replace('dataloader', 'evaluator'))):
        if head is not None and type_name(evaluator).endswith('IoUMetric'):
            ours, theirs = head.get('ignore_index', _IGNORED), evaluator.get('ignore_index', _IGNORED)
            if ours != theirs:
                yield Problem(loader.replace('dataloader', 'evaluator'), f'ignores the label {theirs}, the head {ours}. Set '
                              'ignore_index alike, if a class is not to be left out of the evaluation.', False)


def _mixed_batches(cfg: Config, loader: str, budget: Budget) -> Iterator[Problem]:
    """mmseg puts images of a batch together without padding when it validates or tests."""
    size = (cfg.get(loader) or {}).get('batch_size', 1)
    if loader == 'train_dataloader' or not isinstance(size, int) or size < 2:
        return
    for where, config in segmentation_datasets(cfg, [loader]):
        steps = config.get('pipeline') or []
        resize = next((step for step in steps if type_name(step).endswith('Resize')), None)
        if any('Crop' in type_name(step) or type_name(step) == 'Pad' for step in steps) or resize is not None and not (
                resize.get('keep_ratio') or resize.get('scale') is None):
            continue
        infos = sample_infos(build_without_pipeline(config), config)
        load_image = pipeline_step(steps, 'LoadImageFromFile') or {}
        seen = budget.spend(where, [info['img_path'] for info in infos],
                            partial(look_at_image, loading=load_image, decode=False))
        sizes: Dict[Any, str] = {}
        for path, look in seen:
            if look.size:
                sizes.setdefault(look.size, path)
        if len(sizes) > 1:
            (one, path), (other, second) = list(sizes.items())[:2]
            yield Problem(f'{loader}.batch_size', f'is {size}, but {where} has images of different sizes ({path}: '
                          f'{one[0]}x{one[1]}, {second}: {other[0]}x{other[1]}), which cannot be put into one batch. Set '
                          f'{loader}.batch_size=1, or resize them to one size.')
            return


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
