"""Segmentation data sets: do folders, masks, classes and heads mean the same, rather than a wrong class in the middle?"""
import os
from functools import partial
from itertools import product
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..config_keys import parts_at
from ..registry import type_name
from .datasets import (ALL_LOADERS, Found, check_num_classes, chosen, compare_meanings, find_datasets, find_evaluators,
                       is_a, is_remote, path_of, pipeline_step, require)
from .image_files import Budget, Size, look_at_image, look_at_images, paths_below
from .problems import Problem, of_some
from .segmentation_masks import IGNORED, check_masks

#: Files of these are images, whichever of them a data set lists
_IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')


def segmentation_problems(cfg: Config, loaders: Sequence[str], budget: Budget) -> Iterator[Problem]:
    """Check that folders, masks and classes of mmseg's datasets are there and agree with the heads and with each other.

    Args:
        cfg: A run's config; datasets other than mmseg's, and remote ones, are passed over.
        loaders: Which data loaders the run uses.
        budget: How many images and masks to open.

    Yields:
        Problem: What does not fit.
    """
    seen, heads = set(), heads_of(cfg)
    for found in segmentation_datasets(cfg, loaders):
        where, config = found.where, found.config
        loading = pipeline_step(config.get('pipeline'), 'LoadAnnotations')
        key = repr([loading, {name: value for name, value in config.items() if name != 'pipeline'}])
        if key in seen:
            continue
        seen.add(key)
        _check_folders(found)
        dataset = build_without_pipeline(config)
        classes = dataset.metainfo.get('classes')
        yield from check_num_classes(where, classes, _numbers_of_classes(classes, heads)) if classes else ()
        infos = chosen(dataset.load_data_list(), found)
        _check_files(where, dataset, infos, loading)
        yield from _left_out(where, config, dataset, infos)
        asked = (loading or {}).get('reduce_zero_label')
        if asked is not None and bool(asked) != bool(dataset.reduce_zero_label):
            yield Problem(where, f'its pipeline\'s LoadAnnotations has reduce_zero_label={asked}, the data set itself '
                          f'{dataset.reduce_zero_label}. Set it at the data set, and leave it out of the pipeline.')
        yield from look_at_images(where, [info['img_path'] for info in infos], config.get('pipeline'), budget,
                                  may_pass=not config.get('test_mode'))
        if loading is not None:
            yield from check_masks(where, dataset, infos, [head for _, head in heads], config.get('pipeline'), budget)
    for name in loaders:
        yield from _mixed_batches(cfg, name, budget)
        yield from _compare_ignored(cfg, name)
    yield from compare_meanings(_meanings(cfg, loaders), loaders)


def segmentation_datasets(cfg: Config, loaders: Sequence[str]) -> Iterator[Found]:
    """mmseg's local datasets in a run's config."""
    return (found for found in find_datasets(cfg, loaders)
            if not is_remote(found.config) and is_a(found.config, 'BaseSegDataset', cfg.get('default_scope')))


def build_without_pipeline(config: Mapping) -> Any:
    """A dataset without its pipeline: it knows its files, classes and label map."""
    from mmseg.registry import DATASETS
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build({**config, 'pipeline': [], 'lazy_init': True})


def image_sizes(found: Found, budget: Budget, loading: Optional[Mapping] = None) -> Dict[Size, str]:
    """The sizes of a segmentation data set's images, and the first image of each; see :func:`look_at_image`."""
    paths = [info['img_path'] for info in chosen(build_without_pipeline(found.config).load_data_list(), found)]
    sizes: Dict[Size, str] = {}
    for path, look in budget.spend(found.where, paths, partial(look_at_image, loading=loading, decode=False)):
        if look.size:
            sizes.setdefault(look.size, path)
    return sizes


def _check_folders(found: Found) -> None:
    config, where = found.config, found.where
    for key, folder in (config.get('data_prefix') or {}).items():
        if folder:
            require(path_of(config, folder), f'{where}.data_prefix.{key}', 'data_prefix', f'{folder!r} below data_root',
                    folder=True)
    if config.get('ann_file'):
        require(path_of(config, config['ann_file']), f'{where}.ann_file', 'ann_file', 'a file with an image name a line')


def _numbers_of_classes(classes: Sequence[str], heads: Sequence[Tuple[str, Mapping]]) -> Iterator[Tuple[str, Any]]:
    """Of each head that has the data set's classes, with its key."""
    for name, head in heads:
        count = head.get('num_classes')
        # two classes can be one channel with a threshold
        binary = len(classes) == 2 and (count == 1 or head.get('out_channels') == 1)
        if not binary and 'boundary_threshold' not in head:  # with which STDC's and PIDNet's learn where classes meet
            yield f'{name}.num_classes', count


def _check_files(where: str, dataset: Any, infos: Sequence[Mapping], loading: Optional[Mapping]) -> None:
    if not infos:
        folder = dataset.data_prefix.get('img_path')
        raise FileNotFoundError(f'{where}: {folder} holds no image *{dataset.img_suffix}. Expected at least one; correct '
                                'data_root, data_prefix or img_suffix.')
    if loading is not None and 'seg_map_path' not in infos[0]:
        raise ValueError(f'{where}: its images have no masks, but its pipeline loads them. Set data_prefix.seg_map_path to '
                         'their folder.')


def _meanings(cfg: Config, loaders: Sequence[str]) -> Iterator[Tuple[Found, Dict[str, Any]]]:
    """What gives the labels of each data set; those of the loaders in use come first."""
    for found in segmentation_datasets(cfg, sorted(ALL_LOADERS, key=lambda name: name not in loaders)):
        try:
            dataset = build_without_pipeline({**found.config, 'test_mode': True})
        except Exception:  # that of another phase may not be there
            continue
        classes = dataset.metainfo.get('classes')
        # data sets of two kinds may number their masks in two ways
        yield found, {'metainfo.classes': None if classes is None else list(classes),
                      f'reduce_zero_label of {type(dataset).__name__}': dataset.reduce_zero_label}


def _left_out(where: str, config: Mapping, dataset: Any, infos: Sequence[Mapping]) -> Iterator[Problem]:
    """Files beside those that the data set lists, which it finds by their suffixes."""
    if config.get('ann_file') or config.get('indices') is not None:
        return
    root = config.get('data_root') or ''
    for key, what, option in (('img_path', 'images', 'img_suffix'), ('seg_map_path', 'masks', 'seg_map_suffix')):
        folder = (config.get('data_prefix') or {}).get(key)
        if not folder or not infos or key not in infos[0]:
            continue
        found = [path for base, _, names in os.walk(os.path.join(root, folder))
                 for path in paths_below(base, [name for name in names if not name.startswith('.')])
                 if path.lower().endswith(_IMAGES)]
        left: Any = set(found) - {info[key] for info in infos}
        if left:  # written in another way perhaps
            left = sorted({*map(os.path.normpath, left)} - {os.path.normpath(info[key]) for info in infos})
        yield from of_some(where, left, len(found), f'{what} are left out', f'It lists images that end in '
                           f'{dataset.img_suffix!r} and their masks in {dataset.seg_map_suffix!r}; rename them, or set '
                           f'{option}, if they are meant to be used.', fatal=False)


def _compare_ignored(cfg: Config, loader: str) -> Iterator[Problem]:
    """What the evaluator ignores is what the loss ignores, or the classes of the two are not the same."""
    for (_, head), (where, evaluator) in product(heads_of(cfg)[:1], find_evaluators(cfg, loader)):
        if type_name(evaluator).endswith('IoUMetric'):
            ours, theirs = head.get('ignore_index', IGNORED), evaluator.get('ignore_index', IGNORED)
            if ours != theirs:
                yield Problem(where, f'ignores the label {theirs}, the head {ours}. Set '
                              'ignore_index alike, if a class is not to be left out of the evaluation.', False)


def _mixed_batches(cfg: Config, loader: str, budget: Budget) -> Iterator[Problem]:
    """mmseg puts images of a batch together without padding when it validates or tests."""
    size = (cfg.get(loader) or {}).get('batch_size', 1)
    if loader == 'train_dataloader' or not isinstance(size, int) or size < 2:
        return
    for found in segmentation_datasets(cfg, [loader]):
        steps = found.config.get('pipeline') or []
        resize = next((step for step in steps if type_name(step).endswith('Resize')), None)
        if any('Crop' in type_name(step) or type_name(step) == 'Pad' for step in steps) or resize is not None and not (
                resize.get('keep_ratio') or resize.get('scale') is None):
            continue
        sizes = image_sizes(found, budget, pipeline_step(steps, 'LoadImageFromFile') or {})
        if len(sizes) > 1:
            (one, path), (other, second) = list(sizes.items())[:2]
            yield Problem(f'{loader}.batch_size', f'is {size}, but {found.where} has images of different sizes ({path}: '
                          f'{one[0]}x{one[1]}, {second}: {other[0]}x{other[1]}), which cannot be put into one batch. Set '
                          f'{loader}.batch_size=1, or resize them to one size.')
            return


def heads_of(cfg: Config) -> List[Tuple[str, Mapping]]:
    """The heads of a segmentor, within test-time augmentation or not, with their dotted keys."""
    return [head for name in ('decode_head', 'auxiliary_head') for place in ('model', 'model.module')
            for head in parts_at(cfg, f'{place}.{name}')]
