"""Random labels before a run starts: numbers of classes, and that an image keeps its label in all epochs and loaders."""
import re
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config

from lbbt_mm.config_keys import find_types, get_key
from lbbt_mm.registry import type_name
from .datasets import TRAINING_LOADERS, Found, find_datasets

# The loader of lbbt_mm.BridgeValLoop for Train-acc1
BRIDGE_LOADER = 'val_cfg.train_dataloader'
_LABEL_SETTINGS = dict(num_classes=None, ratio=1.0, seed=0, key='img_path', salt='', exclude_true=False)
_DRAW_SETTINGS = {**_LABEL_SETTINGS, 'key': None, 'draw': 'permute', 'data_root': None}
# Settings of a dataset that leave its samples and their numbers as they are
_SAME_SAMPLES = ('pipeline', 'lazy_init', 'serialize_data', 'test_mode', 'max_refetch')
# Transforms of mmcv and mmpretrain that change pixels, for key='pixels'
_CHANGES_PIXELS = re.compile('Random|Resize|Crop|Flip|Rotat|Aug|Jitter|Lighting|Blur|Album|Pad|Normalize|Distort|Erasing')


def with_bridge_loader(loaders: Sequence[str]) -> Tuple[str, ...]:
    """Data loaders, and the one of Train-acc1 where validation is among them."""
    return (*loaders, *((BRIDGE_LOADER, ) if 'val_dataloader' in loaders else ()))


def random_labels_of(found: Found) -> Iterator[Tuple[str, Mapping]]:
    """A data set's RandomLabel transforms with their keys, inside other transforms too."""
    return find_types(found.config.get('pipeline'), 'RandomLabel', key=f'{found.where}.pipeline')


def check_random_labels(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS) -> None:
    """Check that random labels agree with the classification head, and with each other.

    Args:
        cfg: A run's config.
        loaders: Which data loaders the run uses. ``val_cfg.train_dataloader``, which ``lbbt_mm.BridgeValLoop`` takes, goes
            with ``val_dataloader``.

    Raises:
        ValueError: If numbers of classes differ, labels would change from one epoch or loader to another, or different
            images would share them.
    """
    num_classes = get_key(cfg, 'model.head.num_classes')
    _check_data_preprocessor(cfg, num_classes)
    for loader in with_bridge_loader(loaders):
        sets = list(find_datasets(cfg, [loader]))
        for where, labels in find_types(get_key(cfg, loader), 'RandomLabel', 'RandomLabelDataset', key=loader):
            given = labels.get('num_classes')
            if None not in (given, num_classes) and given != num_classes:
                raise ValueError(f'{where}: {type_name(labels)} has num_classes={given}, but model.head.num_classes='
                                 f'{num_classes}. Set both to the same number.')
        for found in sets:
            _check_pixels_key(found)
        _check_sample_numbers(sets)
    if 'val_dataloader' in loaders and 'train_dataloader' in loaders:
        _check_same_labels(cfg)


def _check_data_preprocessor(cfg: Config, num_classes: Optional[int]) -> None:
    """mmpretrain's makes one-hot labels of that many classes."""
    model = cfg.get('model')
    own = isinstance(model, dict) and 'data_preprocessor' in model  # otherwise mmengine gives the model the config's
    where = 'model.data_preprocessor' if own else 'data_preprocessor'
    preprocessor, found = get_key(cfg, where), get_key(cfg, f'{where}.num_classes')
    # without a type it is mmpretrain's
    if None not in (found, num_classes) and found != num_classes and type_name(preprocessor) in ('', 'ClsDataPreprocessor'):
        raise ValueError(f'{where}.num_classes={found}, but model.head.num_classes={num_classes}. Set both to the same '
                         'number.')


def _check_pixels_key(found: Found) -> None:
    """A label that depends on augmented pixels would be another one in every epoch."""
    names = [type_name(transform) for transform in found.config.get('pipeline') or []]
    for index, name in enumerate(names):
        changes = next((other for other in names[:index] if _CHANGES_PIXELS.search(other)), None)
        if name == 'RandomLabel' and found.config['pipeline'][index].get('key') == 'pixels' and changes:
            raise ValueError(f"{found.where}.pipeline.{index}: RandomLabel with key='pixels' comes after {changes}, which "
                             'changes the pixels, so labels would not stay the same. Put it directly after the '
                             'transform that loads the image.')


def _check_sample_numbers(sets: Sequence[Found]) -> None:
    """Every dataset counts its samples from 0, so that equal numbers in two of them are different images."""
    first: Dict[Tuple[int, str], Tuple[str, Dict[str, Any]]] = {}
    for found in sets:
        samples = {key: value for key, value in found.config.items() if key not in _SAME_SAMPLES}
        samples['indices'] = _numbering(found.config)
        for _, settings in _settings(found):
            if settings['key'] != 'sample_idx' or settings['ratio'] == 0:
                continue
            other, others_samples = first.setdefault((settings['seed'], settings['salt']), (found.where, samples))
            if samples != others_samples:
                raise ValueError(f"{other} and {found.where}: RandomLabel has key='sample_idx', seed={settings['seed']} and "
                                 f"salt={settings['salt']!r} in both, so different images would share labels. Give each "
                                 "dataset's RandomLabel a salt of its own, such as salt='a' and salt='b'.")


def _check_same_labels(cfg: Config) -> None:
    """Train-acc1 on labels other than those that were trained would be chance, and look like a model that learns nothing."""
    loaders = ('train_dataloader', BRIDGE_LOADER)
    labels = [[one for found in find_datasets(cfg, [loader]) for one in _settings(found)] for loader in loaders]
    for kind, (trained, evaluated) in (('RandomLabel', labels),
                                       ('RandomLabelDataset', [list(_draws(cfg, loader)) for loader in loaders])):
        for where, found in evaluated if trained else ():
            if found['ratio'] != 0 and all(found != other for _, other in trained):  # ratio 0 asks for the true labels
                first = trained[0][1]
                name = next(name for name in found if found[name] != first[name])
                numbering = "key='sample_idx' and its dataset " if name == 'indices' else ''
                raise ValueError(f'{where}: {kind} has {numbering}{name}={found[name]!r:.200}, that of train_dataloader '
                                 f'{name}={first[name]!r:.200}, so accuracy would be measured on labels that are not '
                                 'trained. Give both the same settings.')


def _draws(cfg: Config, loader: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """The settings of a loader's data sets that replace the labels of an exact share, comparable; with their keys."""
    for where, wrapper in find_types(get_key(cfg, loader), 'RandomLabelDataset', key=loader):
        yield where, {name: wrapper.get(name, default) for name, default in _DRAW_SETTINGS.items()}


def _settings(found: Found) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """All that the labels of a data set depend on besides the sample, comparable; with the keys of its transforms."""
    for where, transform in random_labels_of(found):
        settings = {name: transform.get(name, default) for name, default in _LABEL_SETTINGS.items()}
        root = transform.get('data_root') if settings['key'] == 'img_path' else None
        if root is not None:
            from lbbt_mm.datasets.data_root import DataRoot
            root = DataRoot(root).real
        indices = _numbering(found.config) if settings['key'] == 'sample_idx' else None
        yield where, {**settings, 'salt': str(settings['salt']), 'data_root': root, 'indices': indices}


def _numbering(dataset: Mapping) -> Any:
    """A dataset's ``indices`` where they number its samples anew; None where each keeps its number, as the first N do."""
    indices = dataset.get('indices')
    if isinstance(indices, int):
        return indices if indices < 0 else None
    return list(indices) if isinstance(indices, Sequence) else indices
