"""An evaluator of COCO boxes names its annotation file a second time: is it that of the images that it is given?"""
import os
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import METRICS

from ..registry import type_name
from .coco_columns import CocoFileError, plain_list
from .coco_file import CocoFile
from .datasets import Found, chosen, find_evaluators, is_a, is_remote
from .problems import Problem, few

#: A data set's file, its classes, and where it is
Opened = Tuple[Optional[CocoFile], List[str], Found]


def coco_evaluators(cfg: Config, loader: str) -> Iterator[Tuple[str, Mapping]]:
    """A loader's evaluators that compare with an annotation file of their own."""
    return ((where, evaluator) for where, evaluator in find_evaluators(cfg, loader)
            if type_name(evaluator).endswith('CocoMetric')
            or is_a(evaluator, 'CocoMetric', cfg.get('default_scope'), METRICS))


def check_evaluators(evaluators: Sequence[Tuple[str, Mapping]], loader: str, opened: Sequence[Opened]) -> Iterator[Problem]:
    """Compare evaluators' files with the data sets': each image of theirs that is not given counts as missed.

    Args:
        evaluators: Evaluators with their keys.
        loader: The data loader that they evaluate.
        opened: Its data sets.

    Yields:
        Problem: What does not fit.
    """
    for where, evaluator in evaluators:
        path = Path(evaluator.get('ann_file') or '')
        if not opened or not evaluator.get('ann_file') or is_remote(evaluator):
            continue
        if not path.is_file():
            raise FileNotFoundError(f'{where}.ann_file: {path} does not exist. Expected the annotation file of the dataset '
                                    'that is evaluated; correct it together with data_root.')
        if any(file is None for file, *_ in opened):
            continue
        evaluated, masks = not evaluator.get('format_only'), 'segm' in (evaluator.get('metric') or ())
        also = (*(['iscrowd'] if evaluated else []), *(['segmentation'] if evaluated and masks else []))
        try:
            theirs = CocoFile(path, with_boxes=evaluated, also=also)
        except CocoFileError as error:
            yield Problem(f'{where}.ann_file', f'{path} {error}.')
            continue
        file, classes, _ = opened[0]
        if theirs.labels(classes) != file.labels(classes):
            yield Problem(f'{where}.ann_file', f"{path} lists the categories {few(theirs.labels(classes))}, the data set's "
                          f'file {few(file.labels(classes))}, so labels would mean other classes. Give both the same file.')
            continue
        key, files = f'{where}.ann_file', [file for file, *_ in opened]
        odd = next(_compare_images(key, theirs, loader, opened), None)
        yield from [odd] if odd else _compare_content(key, theirs, loader, files)


def _compare_images(key: str, theirs: CocoFile, loader: str, opened: Sequence[Opened]) -> Iterator[Problem]:
    """Why the images that are given are not those of the evaluator's file, the first reason first."""
    for odd in (wrapper for *_, found in opened for wrapper in found.wrappers if wrapper != 'ConcatDataset'):
        yield Problem(f'{loader}.dataset', f'{odd} gives other images than {theirs.path}, or some twice, and the evaluator '
                      f'counts those of the file that it is not given as missed. Evaluate the data set without {odd}, or a '
                      'file that lists its images.')
    wanted, given = set(plain_list(theirs.images.id)), []
    for file, classes, found in opened:
        ids = plain_list(file.images.id)
        given += [ids[place] for place in chosen(file.given_images(found.config, classes), found)]
    missed, extra, repeated = len(wanted - set(given)), len(set(given) - wanted), len(given) - len(set(given))
    if repeated:
        yield Problem(f'{loader}.dataset', f'gives {repeated} of its images more than once, or several images with one id, '
                      'which the evaluator takes for the same. Evaluate data sets of different ids, each image once.')
    if missed or extra:
        left = f'leaves {len(given)} of the {len(wanted)} images of {key}, {theirs.path}, which counts the others as missed.'
        if any(found.config.get('filter_cfg') and not found.config.get('test_mode') for *_, found in opened):
            yield Problem(f'{loader}.dataset.filter_cfg', f'{left} Set test_mode=True.')
        if any(found.config.get('indices') is not None for *_, found in opened):
            yield Problem(f'{loader}.dataset.indices', f'{left} Remove indices, or write an annotation file of those images '
                          'for data set and evaluator.')
        yield Problem(key, f'{theirs.path} lists {missed} images that {loader} does not give, and lacks {extra} that it '
                      'does. Give data set and evaluator the same file.')


def _compare_content(key: str, theirs: CocoFile, loader: str, files: Sequence[CocoFile]) -> Iterator[Problem]:
    """Files of two splits may number their images alike."""
    files = [file for file in files if os.path.realpath(file.path) != os.path.realpath(theirs.path)]
    names = dict(zip(plain_list(theirs.images.id), theirs.images.file_name))
    for file in files:
        for number, name in zip(plain_list(file.images.id), file.images.file_name):
            if os.path.basename(names.get(number, name)) != os.path.basename(name):
                yield Problem(key, f'{theirs.path} calls the image {number!r} {names[number]!r}, the file of {loader} '
                              f'{name!r}: it is of other images. Give data set and evaluator the same file.')
                return
    theirs_sorted, *ours = (np.sort(file.annotations.bbox, axis=0) for file in (theirs, *files))
    if any(map(len, ours)) and not any(np.array_equal(boxes, theirs_sorted) for boxes in ours):
        yield Problem(key, f"{theirs.path} has other boxes than the data set's file, for images of the same ids. Give both "
                      'the same file, if it is not another annotation of the same images.', False)
