"""COCO-style data sets: do files, categories, classes, head and evaluators mean the same, and can the boxes be used?"""
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.fileio import list_from_file
from mmengine.registry import METRICS

from ..registry import type_name
from .coco_columns import plain_list
from .coco_file import CocoFile, CocoFileError, unusable_boxes
from .datasets import (ALL_LOADERS, TRAINING_LOADERS, Found, class_of, evaluators_of, find_datasets, is_remote, path_of,
                       pipeline_step)
from .image_files import Budget, look_at_images, paths_below
from .problems import Problem, counted, few


def coco_problems(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS,
                  budget: Optional[Budget] = None) -> Iterator[Problem]:
    """Compare COCO data sets with their files, with each other, with the head and with the evaluators.

    Args:
        cfg: A run's config; datasets other than mmdet's CocoDataset, and remote ones, are passed over.
        loaders: Which data loaders the run uses.
        budget: How many images to open.

    Yields:
        Problem: What does not fit.
    """
    files: Dict[str, Optional[CocoFile]] = {}
    for name in loaders:
        evaluators = _evaluators(cfg, name)
        sets = [found for found in find_datasets(cfg.get(name), name) if _is_coco(found.config, cfg)]
        # a test split without annotations is only predicted on
        with_boxes = not (evaluators and all(evaluator.get('format_only') for evaluator in evaluators))
        for found in sets:
            if not is_remote(found.config) and _key(found.config) not in files:
                files[_key(found.config)] = None
                file = None
                for item in _open_dataset(found, with_boxes):
                    if isinstance(item, Problem):
                        yield item
                    else:
                        file = files[_key(found.config)] = item
                if file is not None:
                    yield from _check_dataset(found, file, cfg, with_boxes, budget or Budget())
        yield from _check_evaluators(name, sets, evaluators, files)
    yield from _compare_classes(cfg, loaders)
    yield from _check_num_classes(cfg, loaders)


def _is_coco(dataset: Mapping, cfg: Config) -> bool:
    """Whether it is mmdet's CocoDataset, or a class that inherits its reading of files."""
    if 'ann_file' not in dataset or is_remote(dataset):
        return 'ann_file' in dataset and type_name(dataset) == 'CocoDataset'
    if type_name(dataset) == 'CocoDataset':
        return True
    kind = class_of(dataset.get('type'), cfg.get('default_scope'))
    if kind is None:
        return False
    try:
        from mmdet.datasets import CocoDataset
    except Exception:  # without mmdet, building the run says what to install
        return False
    return issubclass(kind, CocoDataset) and all(
        getattr(kind, name) is getattr(CocoDataset, name) for name in ('load_data_list', 'parse_data_info'))


def _key(dataset: Mapping) -> str:
    return repr([dataset.get(key) for key in ('data_root', 'ann_file', 'metainfo', 'data_prefix', 'filter_cfg')])


def _open_dataset(found: Found, with_boxes: bool) -> Iterator[Any]:
    """The file of a data set, or what is wrong with it."""
    annotations = path_of(found.config, found.config['ann_file'])
    if not annotations.is_file():
        raise FileNotFoundError(f'{found.where}.ann_file: {annotations} does not exist. Expected a COCO annotation file; '
                                'correct data_root and ann_file, or LBBT_DATA_ROOT (now '
                                f'{os.environ.get("LBBT_DATA_ROOT", "unset")}).')
    images = (found.config.get('data_prefix') or {}).get('img')
    if images is not None and not path_of(found.config, images).is_dir():
        raise FileNotFoundError(f'{found.where}.data_prefix.img: {path_of(found.config, images)} is not a folder. Expected '
                                f'the images that {annotations.name} lists; correct data_root or data_prefix.')
    try:
        yield CocoFile(annotations, with_boxes=with_boxes)
    except CocoFileError as error:
        yield Problem(f'{found.where}.ann_file', f'{annotations} {error}.')


def _check_dataset(found: Found, file: CocoFile, cfg: Config, with_boxes: bool, budget: Budget) -> Iterator[Problem]:
    where, dataset = found.where, found.config
    annotations, classes = path_of(dataset, dataset['ann_file']), _classes(dataset, cfg)
    known, unknown = set(file.names), file.unknown_categories()
    if unknown:
        yield Problem(f'{where}.ann_file', f'annotations in {annotations} have category_id {few(unknown)}, which its '
                      f"'categories' do not list (they list {few(sorted(known, key=str))}). mmdet would drop those boxes; "
                      'correct the file.')
        return
    labels = file.labels(classes)
    missing = [name for name in classes if name not in labels]
    if missing:
        yield Problem(where, f'classes {few(missing)} are not among the categories of {annotations} '
                      f'({few(sorted(set(file.names.values())))}). Set metainfo=dict(classes=...) of the dataset to the '
                      'names in the file, and model.bbox_head.num_classes to their number.')
        return
    if labels != list(classes):
        yield Problem(where, f'metainfo.classes has {_first_difference(classes, labels)} of {annotations}. mmdet numbers '
                      'labels in the order of the file; give metainfo.classes in that order: '
                      f'{few(labels)}.' if len(labels) == len(classes) else
                      f'{annotations} has {_twice(labels)!r} for two categories. Give each category a name of its own.')
        return
    if not with_boxes:
        return
    for text, fatal in unusable_boxes(file, classes):
        yield Problem(f'{where}.ann_file', f'{annotations}: {text}.', fatal)
        if fatal:
            return
    yield from _check_images_of_boxes(found, file, classes, cfg)
    yield from _check_files(found, file, classes, budget)


def _first_difference(classes: Sequence[str], labels: Sequence[str]) -> str:
    index = next(index for index, (ours, theirs) in enumerate(zip(classes, labels)) if ours != theirs)
    return f'{classes[index]!r} at place {index + 1}, but {labels[index]!r} comes there in the categories'


def _twice(labels: Sequence[str]) -> str:
    return next(name for index, name in enumerate(labels) if name in labels[:index])


def _check_images_of_boxes(found: Found, file: CocoFile, classes: Sequence[str], cfg: Config) -> Iterator[Problem]:
    """Which images training leaves out, and which have more boxes than the detector can find."""
    boxes, dataset = file.boxes, found.config
    usable = boxes.used & file.of_classes(classes) & (boxes.image >= 0)
    if dataset.get('test_mode'):
        return
    filters = dataset.get('filter_cfg') or {}
    total, least = len(file.images.size), filters.get('min_size', 0)
    small = np.flatnonzero(file.images.size.min(axis=1) < least)
    if len(small):
        text = (f'{counted(len(small), total, "images")} are smaller than min_size={least} and are left out, first '
                f'{file.images.file_name[small[0]]}. Set a lower min_size if they are meant to be used.')
        yield Problem(f'{found.where}.filter_cfg', text, fatal=len(small) == total)
    queries = (cfg.get('model') or {}).get('num_queries')
    if isinstance(queries, int) and total:
        numbers = np.bincount(boxes.image[usable], minlength=total)
        crowded = np.flatnonzero(numbers > queries)
        if len(crowded):
            name, number = file.images.file_name[crowded[0]], numbers[crowded[0]]
            text = (f'{counted(len(crowded), total, "images")} have more boxes than model.num_queries={queries}, first '
                    f'{name} with {number}. The rest of their boxes is never matched; set num_queries above the largest '
                    f'number, {numbers.max()}.')
            yield Problem(found.where, text, fatal=False)


def _given_images(dataset: Mapping, file: CocoFile, classes: Sequence[str]) -> np.ndarray:
    """Places of the images that mmdet's data set gives, in its order."""
    filters, given = dataset.get('filter_cfg') or {}, np.arange(len(file.images.size))
    if not dataset.get('test_mode') and filters:
        if filters.get('filter_empty_gt'):
            has_boxes = np.zeros(len(given) + 1, bool)  # the last for images that are not there
            has_boxes[file.boxes.image[file.of_classes(classes)]] = True
            given = np.flatnonzero(has_boxes[:-1])
        given = given[file.images.size[given].min(axis=1) >= filters.get('min_size', 0)]
    indices = dataset.get('indices')
    if indices is None:
        return given
    if isinstance(indices, int):
        return given[:indices] if indices >= 0 else given[indices:]
    return given[np.asarray(list(indices), np.int64)]


def _check_files(found: Found, file: CocoFile, classes: Sequence[str], budget: Budget) -> Iterator[Problem]:
    dataset = found.config
    folder = path_of(dataset, (dataset.get('data_prefix') or {}).get('img') or '')
    loading = pipeline_step(dataset.get('pipeline'), 'LoadImageFromFile') or {}
    given = _given_images(dataset, file, classes)
    paths = paths_below(folder, map(file.images.file_name.__getitem__, given.tolist()))
    sizes = file.images.size[given].tolist()
    yield from look_at_images(f'{found.where}.ann_file', paths, loading, budget, sizes, 'annotations')


def _evaluators(cfg: Config, loader: str) -> List[Mapping]:
    """A loader's evaluators that compare with an annotation file of their own."""
    scope = cfg.get('default_scope')
    found = []
    for evaluator in evaluators_of(cfg.get(loader.replace('dataloader', 'evaluator'))):
        if type_name(evaluator).endswith('CocoMetric') or _is_coco_metric(class_of(evaluator.get('type'), scope, METRICS)):
            found.append(evaluator)
    return found


def _is_coco_metric(kind: Optional[type]) -> bool:
    return kind is not None and any(base.__name__ == 'CocoMetric' for base in kind.__mro__)


def _check_evaluators(loader: str, sets: List[Found], evaluators: List[Mapping],
                      files: Mapping[str, Optional[CocoFile]]) -> Iterator[Problem]:
    """An evaluator names its annotation file a second time, and counts each image in it that was not given as missed."""
    where = loader.replace('dataloader', 'evaluator')
    for evaluator in evaluators:
        path = evaluator.get('ann_file')
        if not path or is_remote(evaluator):
            continue
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'{where}.ann_file: {path} does not exist. Expected the annotation file of the dataset '
                                    'that is evaluated; correct it together with data_root.')
        opened = [(found, files.get(_key(found.config))) for found in sets]
        if not opened or any(file is None for _, file in opened):
            continue
        try:
            theirs = CocoFile(path, with_boxes=not evaluator.get('format_only'),
                               for_evaluation=not evaluator.get('format_only'))
        except CocoFileError as error:
            yield Problem(f'{where}.ann_file', f'{path} {error}.')
            continue
        classes = _classes(opened[0][0].config, None)
        ours = opened[0][1].labels(classes)
        if theirs.labels(classes) != ours:
            yield Problem(f'{where}.ann_file', f"{path} lists the categories {few(theirs.labels(classes))}, the data set's "
                          f'file {few(ours)}, so labels would mean other classes. Give both the same file.')
            continue
        yield from _compare_images(where, path, theirs, loader, opened)


def _compare_images(where: str, path: Path, theirs: CocoFile, loader: str,
                    opened: List[Tuple[Found, CocoFile]]) -> Iterator[Problem]:
    wanted, given = set(plain_list(theirs.images.id)), []
    for found, file in opened:
        ids = plain_list(file.images.id)
        given += [ids[place] for place in _given_images(found.config, file, _classes(found.config, None))]
        odd = [wrapper for wrapper in found.wrappers if wrapper != 'ConcatDataset']
        if odd:
            yield Problem(f'{loader}.dataset', f'{odd[0]} gives other images than {path}, or some twice, and the evaluator '
                          f'counts those of the file that it is not given as missed. Evaluate the data set without '
                          f'{odd[0]}, or a file that lists its images.')
            return
    missed, extra = len(wanted - set(given)), len(set(given) - wanted)
    if len(set(given)) < len(given):
        yield Problem(f'{loader}.dataset', f'gives {len(given) - len(set(given))} of its images more than once, or several '
                      'images with one id, which the evaluator takes for the same. Evaluate data sets of different ids, '
                      'each image once.')
        return
    if not missed and not extra:
        yield from _compare_content(where, path, theirs, loader, opened)
        return
    if any(found.config.get('filter_cfg') and not found.config.get('test_mode') for found, _ in opened):
        yield Problem(f'{loader}.dataset.filter_cfg', f'leaves {len(given)} of the {len(wanted)} images of '
                      f'{where}.ann_file, {path}, which counts the others as missed. Set test_mode=True.')
    elif any(found.config.get('indices') is not None for found, _ in opened):
        yield Problem(f'{loader}.dataset.indices', f'leaves {len(given)} of the {len(wanted)} images of {where}.ann_file, '
                      f'{path}, which counts the others as missed. Remove indices, or write an annotation file of those '
                      'images for data set and evaluator.')
    else:
        yield Problem(f'{where}.ann_file', f'{path} lists {missed} images that {loader} does not give, and lacks {extra} '
                      'that it does. Give data set and evaluator the same file.')


def _compare_content(where: str, path: Path, theirs: CocoFile, loader: str,
                     opened: List[Tuple[Found, CocoFile]]) -> Iterator[Problem]:
    """Files of two splits may number their images alike."""
    files = [file for found, file in opened if os.path.realpath(path_of(found.config, found.config['ann_file']))
             != os.path.realpath(path)]
    names = dict(zip(plain_list(theirs.images.id), theirs.images.file_name))
    for file in files:
        ours = dict(zip(plain_list(file.images.id), file.images.file_name))
        odd = next((number for number, name in ours.items() if os.path.basename(names.get(number, name))
                    != os.path.basename(name)), None)
        if odd is not None:
            yield Problem(f'{where}.ann_file', f'{path} calls the image {odd!r} {names[odd]!r}, the file of {loader} '
                          f'{ours[odd]!r}: it is of other images. Give data set and evaluator the same file.')
            return
    if files and sum(len(file.annotations.id) for file in files) and not any(
            np.array_equal(np.sort(file.boxes.xywh, axis=0), np.sort(theirs.boxes.xywh, axis=0)) for file in files):
        yield Problem(f'{where}.ann_file', f"{path} has other boxes than the data set's file, for images of the same ids. "
                      'Give both the same file, if it is not another annotation of the same images.', False)


def _classes(dataset: Mapping, cfg: Optional[Config]) -> List[str]:
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        kind = class_of(dataset.get('type'), (cfg or {}).get('default_scope', 'mmdet'))
        classes = (getattr(kind, 'METAINFO', None) or {}).get('classes')
        if classes is None:
            from mmdet.datasets import CocoDataset
            classes = CocoDataset.METAINFO['classes']
    if isinstance(classes, str):  # mmengine reads a name that is a file's as a list of classes
        return list_from_file(classes) if Path(classes).is_file() else [classes]
    return list(classes)


def _compare_classes(cfg: Config, loaders: Sequence[str]) -> Iterator[Problem]:
    """One head, one meaning of a label. What another phase would use is only said: many configs inherit it unused."""
    first: Optional[Tuple[str, str, List[str]]] = None
    for name in sorted(ALL_LOADERS, key=lambda name: name not in loaders):
        for found in find_datasets(cfg.get(name), name):
            if not _is_coco(found.config, cfg):
                continue
            classes = _classes(found.config, cfg)
            first = first or (name, found.where, classes)
            if classes != first[2]:
                text = (f'its classes are {few(classes)}, those of {first[1]} {few(first[2])}, so labels would mean other '
                        'classes. Give all data sets the same classes in the same order.')
                yield Problem(f'{found.where}.metainfo', text, fatal=name in loaders and first[0] in loaders)
                return


def _check_num_classes(cfg: Config, loaders: Sequence[str]) -> Iterator[Problem]:
    for key, given in _class_counts(cfg.get('model') or {}):
        for name in loaders:
            for found in find_datasets(cfg.get(name), name):
                count = len(_classes(found.config, cfg)) if _is_coco(found.config, cfg) else given
                if count != given:
                    yield Problem('', f'{key}={given}, but {found.where} has {count} classes. Set {key}={count}, or correct '
                                  'metainfo.classes of the dataset.')
                    return


def _class_counts(model: Mapping) -> Iterator[Tuple[str, int]]:
    """Numbers of classes of a detector's heads, of one stage or two, that are those of its boxes."""
    roi = model.get('roi_head')
    places = [('model', model, 'bbox_head', 'num_classes'), ('model', model, 'query_head', 'num_classes'),
              ('model', model, 'mask_head', 'num_classes'), ('model', model, 'panoptic_head', 'num_things_classes')]
    if isinstance(roi, Mapping):
        places += [('model.roi_head', roi, head, 'num_classes') for head in ('bbox_head', 'mask_head')]
    for where, part, name, key in places:
        heads = part.get(name)
        several = isinstance(heads, (list, tuple))
        for index, head in enumerate(heads if several else [heads]):
            if isinstance(head, Mapping) and type(head.get(key)) is int and not head.get('class_agnostic'):
                yield f'{where}.{name}{f".{index}" if several else ""}.{key}', head[key]
