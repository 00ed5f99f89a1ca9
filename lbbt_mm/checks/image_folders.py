"""Data sets of mmpretrain's CustomDataset, which is also an ImageFolder: a folder for each class, or a list with labels."""
import os
import re
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple
from weakref import WeakSet

from mmengine.config import Config
from mmengine.fileio import list_dir_or_file

from lbbt_mm.config_keys import get_key
from lbbt_mm.registry import type_name
from .datasets import TRAINING_LOADERS, Found, chosen, compare_meanings, find_datasets, is_remote, named_classes, require
from .image_files import Budget, look_at_images
from .image_lists import MOST_FOLDERS, evenly_spaced, image_root, listed_images
from .problems import Problem, few, of_some
from .random_labels import check_random_labels, random_labels_of, with_bridge_loader

#: As mmpretrain's CustomDataset
_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')
#: Folders that desktops, notebooks and storages make: they would be counted as classes.
_NO_CLASS = re.compile(r'\.|__|@eaDir$|#recycle$|lost\+found$|\$RECYCLE\.BIN$|System Volume Information$')
#: Files of these are images that mmpretrain does not list.
_UNLISTED = ('.webp', '.tiff', '.gif', '.jp2', '.heic', '.avif', '.jfif')
#: Runners whose labels were checked.
_CHECKED: 'WeakSet[Any]' = WeakSet()


def label_problems(cfg: Config, loaders: Sequence[str], budget: Budget) -> Iterator[Problem]:
    """What a classification run's labels mean, and whether its images can be used.

    Args:
        cfg: A run's config; data sets other than mmpretrain's CustomDataset, and remote ones, are passed over.
        loaders: Which data loaders the run uses.
        budget: How many images to open.

    Yields:
        Problem: What does not fit.
    """
    check_labels(cfg, loaders)
    for found in _custom_datasets(cfg, loaders):
        if found.config.get('ann_file'):
            yield from listed_images(found, get_key(cfg, 'model.head.num_classes'), budget)
        elif found.config.get('with_label', True):
            yield from _images_in_folders(found, budget)
    yield from compare_meanings(((found, dict(classes=named_classes(found.config)))
                                 for found in _custom_datasets(cfg, loaders, False)
                                 if named_classes(found.config)), loaders)


def check_labels(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS) -> None:
    """Check random labels, and that class folders agree with the head and with each other; images are not looked at.

    Args:
        cfg: A run's config.
        loaders: Which data loaders the run uses.

    Raises:
        FileNotFoundError: If an image folder is absent.
        ValueError: If numbers or names of classes differ, or see :func:`~lbbt_mm.checks.random_labels.check_random_labels`.
    """
    check_random_labels(cfg, loaders)
    first: Optional[Tuple[str, List[str]]] = None
    for found in _custom_datasets(cfg, with_bridge_loader(loaders)):
        by_name = 'ClassSubset' in found.wrappers  # which numbers the classes by the names of their folders
        if by_name or found.config.get('ann_file') or not found.config.get('with_label', True):
            continue
        folder, classes = image_root(found.config), _class_folders(found)
        _check_class_folders(found, folder, classes, get_key(cfg, 'model.head.num_classes'))
        first = first or (found.where, classes)
        if classes != first[1]:
            odd = sorted(set(classes) ^ set(first[1]))[0]
            raise ValueError(f'{found.where}: the class folders of {folder} are not those of {first[0]} (only one of them '
                             f'has {odd!r}), so equal labels would mean different classes: a label is the place of a folder '
                             'in their order, whatever the classes are named. Give both the same class folders, empty '
                             'ones if need be.')


def check_labels_once(runner: Any, checked: bool = False) -> None:
    """What parts of a runner call, since other projects' tools have no gate: the first of them checks its labels.

    Args:
        runner: The runner.
        checked: Whether a tool has done it already, by the gate. Defaults to False.

    Raises:
        FileNotFoundError, ValueError: See :func:`check_labels`.
    """
    if runner not in _CHECKED:
        if not checked:
            check_labels(runner.cfg)
        _CHECKED.add(runner)


def _custom_datasets(cfg: Config, loaders: Sequence[str], local: bool = True) -> Iterator[Found]:
    """Data sets of mmpretrain's CustomDataset; mmseg's of old and other projects' have no folder per class."""
    scope = cfg.get('default_scope')
    for found in find_datasets(cfg, loaders):
        kind = found.config.get('type')
        path = kind if isinstance(kind, str) else getattr(kind, '__module__', '')
        ours = (scope if path == 'CustomDataset' else path.split('.')[0]) == 'mmpretrain'
        if type_name(kind) == 'CustomDataset' and ours and not (local and is_remote(found.config)):
            yield found


def _class_folders(found: Found) -> List[str]:
    folder = image_root(found.config)
    require(folder, found.where, 'data_prefix', f'images as {folder.name}/CLASS/image.jpg below data_root', folder=True)
    classes = sorted(list_dir_or_file(str(folder), list_dir=True, list_file=False))
    hidden = next((kind for kind in classes if _NO_CLASS.match(kind)), None)
    if hidden:
        raise ValueError(f'{found.where}: {folder / hidden} would be a class, with the label {classes.index(hidden)}, and '
                         'move the labels of others. mmpretrain counts hidden folders too; remove it.')
    return classes


def _check_class_folders(found: Found, folder: Path, classes: Sequence[str], num_classes: Optional[int]) -> None:
    """Names do not give the labels: mmpretrain numbers the folders by their order, and takes any names of that number."""
    named = named_classes(found.config)
    if named is not None and len(named) != len(classes):
        odd = sorted(set(classes) - set(named)) or classes
        raise ValueError(f'{found.where}: {folder} has {len(classes)} class folders, among them {odd[0]!r}, and '
                         f'{len(named)} classes are named ({few(named)}). Give a name for each folder, in the order of '
                         'the folders.')
    if named is not None and named != classes and sorted(named) == sorted(classes):
        place = next(index for index, pair in enumerate(zip(named, classes)) if len(set(pair)) > 1)
        raise ValueError(f'{found.where}: classes names {named[place]!r} at place {place + 1}, where the folder '
                         f'{classes[place]!r} of {folder} comes: mmpretrain numbers the folders by their order. Name them '
                         'in that order.')
    # random labels may come from more classes than there are true ones
    fewer = len(classes) < (num_classes or 0) and any(random_labels_of(found))
    if num_classes is not None and len(classes) != num_classes and not fewer:
        raise ValueError(f'{found.where}: {folder} has {len(classes)} class folders, but model.head.num_classes='
                         f'{num_classes}. Set num_classes (of the head, of RandomLabel and of data_preprocessor) to '
                         f'{len(classes)}, or correct data_root.')


def _images_in_folders(found: Found, budget: Budget) -> Iterator[Problem]:
    """Images that cannot be loaded or are not listed because of their suffix, and classes that training has no image of."""
    folder, extensions = image_root(found.config), tuple(found.config.get('extensions') or _EXTENSIONS)
    classes = _class_folders(found)
    paths, left, empty = [], [], []
    for kind in evenly_spaced(classes, budget):
        files = [os.path.join(root, name) for root, _, names in os.walk(folder / kind) for name in sorted(names)]
        listed = [path for path in files if path.lower().endswith(extensions)]
        left += [path for path in sorted({*files} - {*listed}) if path.lower().endswith((*_UNLISTED, *_EXTENSIONS))]
        empty += [kind] * (not listed)
        paths += listed
    yield from of_some(found.where, sorted(left), len(left) + len(paths), 'images are left out', 'Listed are '
                       f'{", ".join(extensions)}: convert them, or set extensions=.', fatal=False)
    if found.loader == 'train_dataloader':
        yield from of_some(found.where, [repr(kind) for kind in empty], len(classes), 'class folders hold no image',
                           'Such a class is never trained.', fatal=False)
    if len(classes) <= MOST_FOLDERS:
        chosen(paths, found)
    yield from look_at_images(found.where, paths, found.config.get('pipeline'), budget)
