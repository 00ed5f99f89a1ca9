"""Checks of classification data and random labels before a run starts: folders, numbers of classes, label settings."""
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.fileio import list_dir_or_file, list_from_file

from lbbt_mm.registry import type_name
from .datasets import TRAINING_LOADERS, is_remote, iter_datasets, pipeline_step
from .image_files import Budget, look_at_images
from .problems import Problem, counted, few

# The loader of lbbt_mm.BridgeValLoop for Train-acc1
_BRIDGE_LOADER = 'val_cfg.train_dataloader'
_LABEL_SETTINGS = dict(num_classes=None, ratio=1.0, seed=0, key='img_path', salt='')
# Settings of a dataset that leave its samples and their numbers as they are
_SAME_SAMPLES = ('pipeline', 'lazy_init', 'serialize_data', 'test_mode', 'max_refetch')
# Transforms of mmcv and mmpretrain that change pixels, for key='pixels'
_CHANGES_PIXELS = re.compile('Random|Resize|Crop|Flip|Rotat|Aug|Jitter|Lighting|Blur|Album|Pad|Normalize|Distort|Erasing')


def label_problems(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS,
                   budget: Optional[Budget] = None) -> Iterator[Problem]:
    """:func:`check_random_labels`, then look at images of mmpretrain's folders.

    Args:
        cfg: A run's config.
        loaders: Which data loaders the run uses.
        budget: How many images to open.

    Yields:
        Problem: What is wrong with the images.
    """
    check_random_labels(cfg, loaders)
    for name in loaders:
        for where, dataset in iter_datasets(cfg.get(name), name):
            folder = _image_folder(dataset, cfg.get('default_scope'))
            if folder is not None:
                extensions = tuple(dataset.get('extensions') or _EXTENSIONS)
                yield from _left_out(where, folder, extensions, training=name == 'train_dataloader')
                yield from look_at_images(where, _some_images(folder, budget), pipeline_step(
                    dataset.get('pipeline'), 'LoadImageFromFile') or {}, budget or Budget())


#: As mmpretrain's CustomDataset
_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')
#: Folders whose list is read before a run; 1,000 of 1,300 images each take a second
_MOST_FOLDERS = 40
#: Folders that desktops, notebooks and storages make: they would be counted as classes.
_NO_CLASS = re.compile(r'\.|__|@eaDir$|#recycle$|lost\+found$|\$RECYCLE\.BIN$|System Volume Information$')
#: Files of these are images that mmpretrain does not list.
_UNLISTED = ('.webp', '.tiff', '.gif', '.jp2', '.heic', '.avif', '.jfif')


def _left_out(where: str, folder: Path, extensions: Tuple[str, ...], training: bool) -> Iterator[Problem]:
    """Images that are not listed because of their suffix, and classes that training has no image of."""
    left, listed, empty = [], 0, []
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    for kind in classes[:_MOST_FOLDERS]:
        names = [os.path.join(root, name) for root, _, names in os.walk(folder / kind) for name in names]
        count = sum(name.lower().endswith(extensions) for name in names)
        listed += count
        left += [name for name in names if name.lower().endswith((*_UNLISTED, *_EXTENSIONS))
                 and not name.lower().endswith(extensions)]
        empty += [kind] * (not count)
    if left:
        yield Problem(where, f'{counted(len(left), len(left) + listed, "images")} are left out, first {min(left)}: listed '
                      f'are {", ".join(extensions)}. Convert them, or set extensions=.', False)
    if empty and training:
        yield Problem(where, f'{counted(len(empty), len(classes), "class folders")} hold no image, first {empty[0]!r}: such '
                      'a class is never trained.', False)


def _some_images(folder: Path, budget: Optional[Budget]) -> List[str]:
    """The images of a folder of folders; of evenly spaced ones where there are many and not all are asked for."""
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if budget is None or budget.seconds is not None:
        step = max(len(classes) / _MOST_FOLDERS, 1)
        classes = [classes[int(index * step)] for index in range(min(len(classes), _MOST_FOLDERS))]
    return [os.path.join(root, name) for kind in classes for root, _, names in os.walk(folder / kind)
            for name in sorted(names) if name.lower().endswith(_EXTENSIONS)]


def check_random_labels(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS) -> None:
    """Check that random labels, image folders and the classification head agree.

    Args:
        cfg: A run's config. The folders of mmpretrain's CustomDataset are looked at where they are local and hold a folder
            per class.
        loaders: Which data loaders the run uses. ``val_cfg.train_dataloader``, which ``lbbt_mm.BridgeValLoop`` takes, goes
            with ``val_dataloader``.

    Raises:
        FileNotFoundError: If an image folder is absent.
        ValueError: If numbers or names of classes differ, random labels would change from one epoch or loader to another, or
            different images would share them.
    """
    used = {name: cfg.get(name) for name in loaders}
    if 'val_dataloader' in loaders:
        used[_BRIDGE_LOADER] = _mapping(cfg.get('val_cfg')).get('train_dataloader')
    num_classes = _mapping(_mapping(cfg.get('model')).get('head')).get('num_classes')
    _check_data_preprocessor(cfg, num_classes)
    for name, loader in used.items():
        for where, transform in _find_random_labels(loader, name):
            _check_num_classes(where, transform, num_classes)
        for where, dataset in iter_datasets(loader, name):
            _check_pixels_key(where, dataset)
        _check_sample_numbers(name, loader)
    _check_same_labels(used.get('train_dataloader'), used.get(_BRIDGE_LOADER))
    _check_image_folders(used, num_classes, cfg.get('default_scope'))
    _check_named_classes(cfg, loaders)


def _mapping(config: Any) -> Mapping:
    """A part of a config; nothing where it is absent or built already."""
    return config if isinstance(config, Mapping) else {}


def _check_data_preprocessor(cfg: Config, num_classes: Optional[int]) -> None:
    """mmpretrain's makes one-hot labels of that many classes."""
    where, owner = 'model.data_preprocessor', _mapping(cfg.get('model'))
    if 'data_preprocessor' not in owner:  # then mmengine gives the model the config's
        where, owner = 'data_preprocessor', cfg
    preprocessor = _mapping(owner.get('data_preprocessor'))
    found = preprocessor.get('num_classes')
    # without a type it is mmpretrain's
    if type_name(preprocessor) in ('', 'ClsDataPreprocessor') and None not in (found, num_classes) and found != num_classes:
        raise ValueError(f'{where}.num_classes={found}, but model.head.num_classes={num_classes}. Set both to the same '
                         'number.')


def _find_random_labels(config: Any, where: str) -> Iterator[Tuple[str, Mapping]]:
    """All RandomLabel transforms below a config, inside other transforms too."""
    if isinstance(config, Mapping):
        if type_name(config) == 'RandomLabel':
            yield where, config
        for key, value in config.items():
            yield from _find_random_labels(value, f'{where}.{key}')
    elif isinstance(config, (list, tuple)):
        for index, value in enumerate(config):
            yield from _find_random_labels(value, f'{where}[{index}]')


def _check_num_classes(where: str, transform: Mapping, num_classes: Optional[int]) -> None:
    found = transform.get('num_classes')
    if None not in (found, num_classes) and found != num_classes:
        raise ValueError(f'{where}: RandomLabel has num_classes={found}, but model.head.num_classes={num_classes}. Set both '
                         'to the same number.')


def _check_pixels_key(where: str, dataset: Mapping) -> None:
    """A label that depends on augmented pixels would be another one in every epoch."""
    before: List[str] = []
    for index, transform in enumerate(dataset.get('pipeline') or []):
        name = type_name(transform)
        if name == 'RandomLabel' and transform.get('key') == 'pixels':
            changes = [other for other in before if _CHANGES_PIXELS.search(other)]
            if changes:
                raise ValueError(f"{where}.pipeline[{index}]: RandomLabel with key='pixels' comes after {changes[0]}, which "
                                 'changes the pixels, so labels would not stay the same. Put it directly after the '
                                 'transform that loads the image.')
        before.append(name)


def _check_sample_numbers(name: str, loader: Any) -> None:
    """Every dataset counts its samples from 0, so that equal numbers in two of them are different images."""
    first: Dict[Tuple[int, str], Tuple[str, Dict[str, Any]]] = {}
    for where, dataset in iter_datasets(loader, name):
        samples = {key: value for key, value in dataset.items() if key not in _SAME_SAMPLES}
        samples['indices'] = _numbering(dataset)
        for _, transform in _find_random_labels(dataset.get('pipeline'), where):
            found = _settings(transform, dataset)
            if found['key'] != 'sample_idx' or found['ratio'] == 0:
                continue
            other, others_samples = first.setdefault((found['seed'], found['salt']), (where, samples))
            if samples != others_samples:
                raise ValueError(f"{other} and {where}: RandomLabel has key='sample_idx', seed={found['seed']} and "
                                 f"salt={found['salt']!r} in both, so different images would share labels. Give each "
                                 "dataset's RandomLabel a salt of its own, such as salt='a' and salt='b'.")


def _check_same_labels(training: Any, evaluation: Any) -> None:
    """Train-acc1 on labels other than those that were trained would be chance, and look like a model that learns nothing."""
    trained = [found for _, found in _all_settings(training, 'train_dataloader')]
    for where, found in _all_settings(evaluation, _BRIDGE_LOADER):
        if trained and found['ratio'] != 0 and found not in trained:  # ratio 0 asks for the true labels
            name = next(name for name in found if found[name] != trained[0][name])
            numbering = "key='sample_idx' and its dataset " if name == 'indices' else ''
            raise ValueError(f'{where}: RandomLabel has {numbering}{name}={_shorten(found[name])}, that of train_dataloader '
                             f'{name}={_shorten(trained[0][name])}, so accuracy would be measured on labels that are not '
                             'trained. Give both the same settings.')


def _all_settings(loader: Any, name: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    for where, dataset in iter_datasets(loader, name):
        for place, transform in _find_random_labels(dataset.get('pipeline'), f'{where}.pipeline'):
            yield place, _settings(transform, dataset)


def _settings(transform: Mapping, dataset: Mapping) -> Dict[str, Any]:
    """All that a label depends on besides the sample, comparable."""
    settings = {name: transform.get(name, default) for name, default in _LABEL_SETTINGS.items()}
    root = transform.get('data_root') if settings['key'] == 'img_path' else None
    if root is not None:
        from lbbt_mm.datasets.data_root import DataRoot
        root = DataRoot(root).real
    indices = _numbering(dataset) if settings['key'] == 'sample_idx' else None
    return {**settings, 'salt': str(settings['salt']), 'data_root': root, 'indices': indices}


def _numbering(dataset: Mapping) -> Any:
    """A dataset's ``indices`` where they number its samples anew; None where each keeps its number, as the first N do."""
    indices = dataset.get('indices')
    if isinstance(indices, int):
        return indices if indices < 0 else None
    return list(indices) if isinstance(indices, Sequence) else indices


def _shorten(value: Any, most: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= most else f'{text[:most]}...'


def _check_image_folders(used: Mapping[str, Any], num_classes: Optional[int], scope: Optional[str]) -> None:
    """Folders must be there, and agree with the head and with each other: a folder's place in the order is its label."""
    first: Optional[Tuple[str, List[str]]] = None
    for name, loader in used.items():
        for where, dataset in iter_datasets(loader, name):
            folder = _image_folder(dataset, scope)
            if folder is None:
                continue
            if not folder.is_dir():
                raise FileNotFoundError(
                    f'{where}: {folder} is not a folder. Expected images as {folder.name}/CLASS/image.jpg below data_root. '
                    f'Set LBBT_DATA_ROOT (now {os.environ.get("LBBT_DATA_ROOT", "unset")}) to the folder that holds '
                    'train/CLASS/image.jpg, or correct data_root and data_prefix.')
            classes = sorted(list_dir_or_file(str(folder), list_dir=True, list_file=False))
            hidden = [kind for kind in classes if _NO_CLASS.match(kind)]
            if hidden:
                raise ValueError(f'{where}: {folder / hidden[0]} would be a class, with the label '
                                 f'{classes.index(hidden[0])}, and move the labels of others. mmpretrain counts hidden '
                                 'folders too; remove it.')
            _check_named_folders(where, folder, dataset, classes)
            _check_count(where, folder, dataset, classes, num_classes)
            first = first or (where, classes)
            if classes != first[1]:
                odd = sorted(set(classes) ^ set(first[1]))[0]
                raise ValueError(f'{where}: the class folders of {folder} are not those of {first[0]} (only one of them has '
                                 f'{odd!r}), so equal labels would mean different classes: a label is the place of a folder '
                                 'in their order, whatever the classes are named. Give both the same class folders, empty '
                                 'ones if need be.')


def _check_named_folders(where: str, folder: Path, dataset: Mapping, classes: Sequence[str]) -> None:
    """Names do not give the labels: mmpretrain numbers the folders by their order, and takes any names of that number."""
    named = _named_classes(dataset)
    if named is None:
        return
    if len(named) != len(classes):
        odd = sorted(set(classes) - set(named)) or classes
        raise ValueError(f'{where}: {folder} has {len(classes)} class folders, among them {odd[0]!r}, and {len(named)} '
                         f'classes are named ({few(named)}). Give a name for each folder, in the order of the folders.')
    if named != list(classes) and sorted(named) == sorted(classes):
        place = next(index for index, pair in enumerate(zip(named, classes)) if len(set(pair)) > 1)
        raise ValueError(f'{where}: classes names {named[place]!r} at place {place + 1}, where the folder '
                         f'{classes[place]!r} of {folder} comes: mmpretrain numbers the folders by their order. Name them '
                         'in that order.')


def _named_classes(dataset: Mapping) -> Optional[List[str]]:
    """The classes that a config names, or a file that it names; None where it names none."""
    classes = dataset.get('classes')
    if classes is None:
        classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        return list_from_file(classes) if Path(classes).is_file() else None
    return None if classes is None else list(classes)


def _check_named_classes(cfg: Config, loaders: Sequence[str]) -> None:
    """Classes that configs name have to be the same in all loaders: their order gives the labels."""
    first: Optional[Tuple[str, List[str]]] = None
    for name in loaders:
        for where, dataset in iter_datasets(cfg.get(name), name):
            if not _is_custom_dataset(dataset.get('type'), cfg.get('default_scope')):
                continue
            classes = _named_classes(dataset)
            if classes is None:
                continue
            first = first or (where, classes)
            if classes != first[1]:
                raise ValueError(f'{where}: its classes are {few(classes)}, those of {first[0]} {few(first[1])}, so equal '
                                 'labels would mean different classes. Give all data sets the same classes in the same '
                                 'order.')


def _check_count(where: str, folder: Path, dataset: Mapping, classes: List[str], num_classes: Optional[int]) -> None:
    # random labels may come from more classes than there are true ones
    random = any(True for _ in _find_random_labels(dataset.get('pipeline'), where))
    if num_classes is not None and len(classes) != num_classes and not (random and len(classes) < num_classes):
        raise ValueError(f'{where}: {folder} has {len(classes)} class folders, but model.head.num_classes={num_classes}. '
                         f'Set num_classes (of the head, of RandomLabel and of data_preprocessor) to {len(classes)}, '
                         'or correct data_root.')


def _image_folder(dataset: Mapping, scope: Optional[str]) -> Optional[Path]:
    """The folder of mmpretrain's CustomDataset where it is local and gives the classes, or None."""
    if not _is_custom_dataset(dataset.get('type'), scope) or dataset.get('ann_file') or not dataset.get('with_label', True):
        return None
    if is_remote(dataset):
        return None
    prefix = dataset.get('data_prefix') or ''
    prefix = prefix.get('img_path', '') if isinstance(prefix, Mapping) else prefix
    return Path(str(dataset.get('data_root') or '')) / os.path.expanduser(prefix)


def _is_custom_dataset(kind: Any, scope: Optional[str]) -> bool:
    """Whether a type is mmpretrain's CustomDataset; mmseg's of old and other projects' have no folder per class."""
    if type_name(kind) != 'CustomDataset':
        return False
    path = kind if isinstance(kind, str) else kind.__module__
    return (scope if path == 'CustomDataset' else path.split('.')[0]) == 'mmpretrain'
