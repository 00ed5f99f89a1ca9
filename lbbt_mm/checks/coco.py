"""COCO-style data sets: do files, categories, classes and heads mean the same, and can boxes and images be used?"""
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config

from ..config_keys import parts_at
from ..registry import type_name
from .coco_columns import CocoFileError
from .coco_evaluators import check_evaluators, coco_evaluators
from .coco_file import CocoFile, unusable_boxes
from .datasets import (ALL_LOADERS, Found, check_num_classes, chosen, class_of, compare_meanings, find_datasets,
                       is_remote, named_classes, path_of, pipeline_step, require)
from .image_files import Budget, look_at_images, paths_below
from .problems import Problem, few, of_some

#: Where detectors of one stage or two have heads whose number of classes is that of their boxes
_HEADS = (('bbox_head', 'num_classes'), ('query_head', 'num_classes'), ('mask_head', 'num_classes'),
          ('panoptic_head', 'num_things_classes'), ('roi_head.bbox_head', 'num_classes'),
          ('roi_head.mask_head', 'num_classes'))


def coco_problems(cfg: Config, loaders: Sequence[str], budget: Budget) -> Iterator[Problem]:
    """Compare COCO data sets with their files, with each other, with the head and with the evaluators.

    Args:
        cfg: A run's config; datasets other than mmdet's CocoDataset, and remote ones, are passed over.
        loaders: Which data loaders the run uses.
        budget: How many images to open.

    Yields:
        Problem: What does not fit.
    """
    files: Dict[str, Optional[CocoFile]] = {}
    for loader in loaders:
        evaluators = list(coco_evaluators(cfg, loader))
        # a test split without annotations is only predicted on
        with_boxes = not (evaluators and all(evaluator.get('format_only') for _, evaluator in evaluators))
        opened = []
        for found in _coco_datasets(cfg, [loader]):
            key = repr([found.config.get(key) for key in ('data_root', 'ann_file', 'metainfo', 'data_prefix', 'filter_cfg')])
            if key not in files and not is_remote(found.config):
                try:
                    files[key] = _open_file(found, with_boxes)
                    yield from _check_dataset(found, files[key], cfg, with_boxes, budget)
                except CocoFileError as error:
                    files[key] = None
                    yield Problem(f'{found.where}.ann_file', f'{path_of(found.config, found.config["ann_file"])} {error}.')
            opened.append((files.get(key), classes_of(found.config, cfg), found))
        yield from check_evaluators(evaluators, loader, opened)
    # the loaders in use come first
    order = sorted(ALL_LOADERS, key=lambda name: name not in loaders)
    yield from compare_meanings(((found, {'metainfo.classes': classes_of(found.config, cfg)})
                                 for found in _coco_datasets(cfg, order)), loaders)
    heads = list(_numbers_of_classes(cfg.get('model')))
    for found in _coco_datasets(cfg, loaders):
        yield from check_num_classes(found.where, classes_of(found.config, cfg), heads)


def _coco_datasets(cfg: Config, loaders: Sequence[str]) -> Iterator[Found]:
    return (found for found in find_datasets(cfg, loaders) if _is_coco(found.config, cfg))


def _is_coco(dataset: Mapping, cfg: Config) -> bool:
    """Whether it is mmdet's CocoDataset, or a class that inherits its reading of files."""
    if type_name(dataset) == 'CocoDataset':
        return 'ann_file' in dataset
    kind = class_of(dataset.get('type'), cfg.get('default_scope'))
    base = next((one for one in getattr(kind, '__mro__', ()) if one.__name__ == 'CocoDataset'), None)
    return base is not None and 'ann_file' in dataset and all(
        getattr(kind, name) is getattr(base, name) for name in ('load_data_list', 'parse_data_info'))


def classes_of(dataset: Mapping, cfg: Config) -> List[str]:
    """The classes of a COCO data set: those that it names, or its class's own."""
    classes = named_classes(dataset)
    if classes is None:
        from mmdet.datasets import CocoDataset
        kind = class_of(dataset.get('type'), cfg.get('default_scope', 'mmdet')) or CocoDataset
        classes = kind.METAINFO.get('classes') or CocoDataset.METAINFO['classes']
    return list(classes)


def _open_file(found: Found, with_boxes: bool) -> CocoFile:
    annotations = path_of(found.config, found.config['ann_file'])
    require(annotations, f'{found.where}.ann_file', 'ann_file', 'a COCO annotation file')
    images = (found.config.get('data_prefix') or {}).get('img')
    if images is not None:
        require(path_of(found.config, images), f'{found.where}.data_prefix.img', 'data_prefix',
                f'the images that {annotations.name} lists', folder=True)
    masks = (pipeline_step(found.config.get('pipeline'), 'LoadAnnotations') or {}).get('with_mask')
    return CocoFile(annotations, with_boxes, also=('segmentation', ) if masks else ())


def _check_dataset(found: Found, file: CocoFile, cfg: Config, with_boxes: bool, budget: Budget) -> Iterator[Problem]:
    where, annotations, classes = found.where, file.path, classes_of(found.config, cfg)
    fault = next(_label_faults(file, classes), None)
    if fault:
        yield Problem(f'{where}.ann_file', f'{annotations} {fault}')
        return
    if not with_boxes:
        return
    for text, fatal in unusable_boxes(file, classes):
        yield Problem(f'{where}.ann_file', f'{annotations}: {text}.', fatal)
        if fatal:
            return
    if not found.config.get('test_mode'):
        yield from _check_training_images(found, file, classes, (cfg.get('model') or {}).get('num_queries'))
    folder = path_of(found.config, (found.config.get('data_prefix') or {}).get('img') or '')
    given = np.asarray(chosen(file.given_images(found.config, classes), found))
    paths = paths_below(folder, map(file.images.file_name.__getitem__, given.tolist()))
    yield from look_at_images(f'{where}.ann_file', paths, found.config.get('pipeline'), budget,
                              file.images.size[given].tolist())


def _label_faults(file: CocoFile, classes: Sequence[str]) -> Iterator[str]:
    """Why labels would not mean what the data set's classes say, the first reason first."""
    unknown, labels = file.unknown_categories(), file.labels(classes)
    if unknown:
        yield (f"has annotations that have category_id {few(unknown)}, which its 'categories' do not list (they "
               f'list {few(sorted(file.names, key=str))}). mmdet would drop those boxes; correct the file.')
    missing = [name for name in classes if name not in labels]
    if missing:
        yield (f'lacks the classes {few(missing)} among its categories ({few(sorted(set(file.names.values())))}). Set '
               'metainfo=dict(classes=...) of the dataset to the names in the file, and model.bbox_head.num_classes to '
               'their number.')
    if len(labels) > len(classes):
        twice = next(name for index, name in enumerate(labels) if name in labels[:index])
        yield f'has {twice!r} for two categories. Give each category a name of its own.'
    for place, (name, label) in enumerate(zip(classes, labels), 1):
        if name != label:
            yield (f'has the category {label!r} at place {place}, where metainfo.classes has {name!r}. mmdet numbers labels '
                   f'in the order of the file; give metainfo.classes in that order: {few(labels)}.')


def _check_training_images(found: Found, file: CocoFile, classes: Sequence[str], queries: Any) -> Iterator[Problem]:
    """Which images training leaves out, and which have more boxes than the detector can find."""
    total, least = len(file.images.size), (found.config.get('filter_cfg') or {}).get('min_size', 0)
    small = np.flatnonzero(file.images.size.min(axis=1) < least)
    yield from of_some(f'{found.where}.filter_cfg', [file.images.file_name[place] for place in small], total,
                       f'images are smaller than min_size={least} and are left out',
                       'Set a lower min_size if they are meant to be used.')
    if isinstance(queries, int) and total:
        usable = file.used & file.of_classes(classes) & (file.place >= 0)
        numbers = np.bincount(file.place[usable], minlength=total)
        crowded = [f'{file.images.file_name[place]} with {numbers[place]}' for place in np.flatnonzero(numbers > queries)]
        yield from of_some(found.where, crowded, total, f'images have more boxes than model.num_queries={queries}',
                           'The rest of their boxes is never matched; set num_queries above the largest number, '
                           f'{numbers.max()}.', fatal=False)


def _numbers_of_classes(model: Any) -> Iterator[Tuple[str, Any]]:
    """Of each head that tells classes apart, with its key."""
    for place, name in _HEADS:
        for where, head in parts_at(model, place):
            if type(head.get(name)) is int and not head.get('class_agnostic'):
                yield f'model.{where}.{name}', head[name]
