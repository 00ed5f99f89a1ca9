"""Random labels before a run starts: numbers of classes, and that an image keeps its label in all epochs and loaders."""
import os
import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config

from lbbt_mm.config_keys import find_types, get_key
from lbbt_mm.registry import parameters_of, type_name
from .datasets import TRAINING_LOADERS, Found, class_of, find_datasets

# The loader of lbbt_mm.BridgeValLoop for Train-acc1
BRIDGE_LOADER = 'val_cfg.train_dataloader'
_LABEL_SETTINGS = dict(num_classes=None, ratio=1.0, seed=0, key='img_path', salt='', exclude_true=False)
# Settings of a dataset that leave its samples and their numbers as they are; EvenSubset's at_most does, or is an error
_SAME_SAMPLES = ('pipeline', 'lazy_init', 'serialize_data', 'test_mode', 'max_refetch', 'at_most')
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
        _check_sample_numbers(cfg, [loader])
    if 'val_dataloader' in loaders and 'train_dataloader' in loaders:
        _check_same_labels(cfg)
    _check_sample_numbers(cfg, loaders)


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


def _check_sample_numbers(cfg: Config, loaders: Sequence[str]) -> None:
    """Every dataset counts its samples from 0, so that equal numbers in two of them are different images.

    Train images may be validated too, with their labels: over loaders, only what is known to be other images is refused.
    """
    known: Dict[Tuple[int, str], List[Tuple[str, str, str, Mapping]]] = {}
    for loader, (where, inner, labels) in ((name, one) for name in loaders for one in _all_labels(cfg, name)):
        if labels['key'] != 'sample_idx' or labels['ratio'] == 0:
            continue
        kind, others = labels['type'], known.setdefault((labels['seed'], labels['salt']), [])
        for others_loader, other, others_kind, others_inner in others:
            same = _same_dataset(inner, others_inner) if loader == others_loader else _may_be_same_images(
                cfg, inner, others_inner)
            if not same:
                kinds = kind if kind == others_kind else f'each of {others_kind} and {kind}'
                raise ValueError(f"{other} and {where}: {kinds} has key='sample_idx', seed={labels['seed']} and "
                                 f"salt={labels['salt']!r} in both, so different images would share labels. Give each "
                                 f"dataset's {kind} a salt of its own, such as salt='a' and salt='b'.")
        others.append((loader, where, kind, inner))


def _check_same_labels(cfg: Config) -> None:
    """Train-acc1 on labels other than those that were trained would be chance, and look like a model that learns nothing."""
    subset, trained_on = (get_key(cfg, f'{loader}.dataset') for loader in (BRIDGE_LOADER, 'train_dataloader'))
    most, taken = next(_nested(trained_on), {}).get('num_samples'), [part.get('num_samples') for part in _nested(subset)]
    if most is not None and taken and taken[0] is not None and most not in taken:  # evenly spaced: few are in both
        raise ValueError(f'{BRIDGE_LOADER}.dataset.num_samples={taken[0]}, but train_dataloader.dataset.num_samples={most}, '
                         'so accuracy would be measured on images that are not trained. Set both to the same number.')
    trained, evaluated = ([labels for _, _, labels in _all_labels(cfg, loader)]
                          for loader in ('train_dataloader', BRIDGE_LOADER))
    for found in evaluated if trained else ():
        if found['ratio'] == 0 or any(_alike(found, other) for other in trained):  # ratio 0 asks for the true labels
            continue
        kind = found['type']
        first = next((other for other in trained if other['type'] == kind), trained[0])
        name = next(name for name in found if name != 'where' and found[name] != first[name])
        where = found['where']
        if name == 'samples':
            raise ValueError(f"{where}: {kind} has draw={found['draw']!r} and ratio={found['ratio']!r}, by which its labels "
                             'depend on all samples of its dataset, and that is another one than in train_dataloader '
                             f"({found['samples']!r:.200}; there {first['samples']!r:.200}), so accuracy would be measured "
                             'on labels that are not trained. Give both the same dataset, and put EvenSubset around '
                             f'{kind}.')
        numbering = "key='sample_idx' and its dataset " if name == 'indices' else ''
        raise ValueError(f'{where}: {kind} has {numbering}{name}={found[name]!r:.200}, that of train_dataloader '
                         f'{name}={first[name]!r:.200}, so accuracy would be measured on labels that are not trained. Give '
                         'both the same settings.')


def _nested(dataset: Any) -> Iterator[Mapping]:
    """A dataset's config and those inside it."""
    while isinstance(dataset, Mapping):
        yield dataset
        dataset = dataset.get('dataset')


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two kinds of random labels give a sample one label; at ratio 1 all samples are random, exactly or not."""
    besides = ('where', 'type') if one['draw'] == 'uniform' and one['ratio'] == 1 else ('where', )
    return all(one[name] == other[name] for name in one if name not in besides)


def _all_labels(cfg: Config, loader: str) -> Iterator[Tuple[str, Mapping, Dict[str, Any]]]:
    """The random labels of a loader's data sets.

    Yields:
        tuple: The dataset or wrapper that has them, by its key; the dataset that they are drawn for; and all that they
        depend on besides the sample, comparable, with what they are and where.
    """
    for found in find_datasets(cfg, [loader]):
        for where, transform in random_labels_of(found):
            yield found.where, found.config, _settings(cfg, where, transform, found.config)
    for where, wrapper in find_types(get_key(cfg, loader), 'RandomLabelDataset', key=loader):
        inner = wrapper.get('dataset')
        if isinstance(inner, Mapping):  # not built already
            yield where, inner, _settings(cfg, where, wrapper, inner)


def _settings(cfg: Config, where: str, labels: Mapping, dataset: Mapping) -> Dict[str, Any]:
    """What random labels depend on, in one form for a transform and for a wrapper; what does not count is None."""
    kind, root = type_name(labels), labels.get('data_root')
    is_wrapper = kind == 'RandomLabelDataset'
    defaults = {**_LABEL_SETTINGS, **(dict(key='img_path' if root else 'sample_idx') if is_wrapper else {})}
    found = {name: default if labels.get(name) is None else labels[name] for name, default in defaults.items()}
    draw = labels.get('draw', 'permute') if is_wrapper else 'uniform'
    found = dict(where=where, draw=draw, **{**found, 'salt': str(found['salt'])}, data_root=_real(root), indices=None,
                 type=kind, samples=None)
    if found['num_classes'] is None:  # a wrapper's dataset has as many as the head
        found['num_classes'] = get_key(cfg, 'model.head.num_classes')
    if found['key'] != 'img_path':
        found['data_root'] = None
    if found['key'] == 'sample_idx':
        found['indices'] = _numbering(_innermost(dataset))
    if draw == 'permute':
        found.update(dict.fromkeys(('num_classes', 'key', 'data_root', 'indices')))
    if is_wrapper and (draw == 'permute' or found['ratio'] != 1):
        found['samples'] = _samples(dataset)
    return found


def _real(root: Any) -> Any:
    """One string for all ways to write a root."""
    if not isinstance(root, (str, os.PathLike)) or not str(root):
        return root
    from lbbt_mm.datasets.data_root import DataRoot
    return DataRoot(root).real


def _innermost(dataset: Mapping) -> Mapping:
    """The dataset that numbers the samples, inside views such as EvenSubset."""
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return dataset


def _samples(dataset: Mapping) -> Dict[str, Any]:
    """What says which samples a dataset has, those inside it too, comparable."""
    found = {key: value for key, value in dataset.items() if key not in _SAME_SAMPLES}
    found['type'] = type_name(dataset)
    if 'data_root' in found:
        found['data_root'] = _real(found['data_root'])
    if isinstance(found.get('indices'), Sequence):
        found['indices'] = list(found['indices'])
    if isinstance(found.get('dataset'), Mapping):
        found['dataset'] = _samples(found['dataset'])
    return found


def _numbering(dataset: Mapping) -> Any:
    """A dataset's ``indices`` where they number its samples anew; None where each keeps its number, as the first N do."""
    indices = dataset.get('indices')
    if isinstance(indices, int):
        return indices if indices < 0 else None
    return list(indices) if isinstance(indices, Sequence) else indices


def _same_dataset(one: Mapping, other: Mapping) -> bool:
    """Whether two datasets are written alike, but for what does not change their samples."""
    one, other = ({**_samples(_innermost(each)), 'indices': _numbering(_innermost(each))} for each in (one, other))
    return one == other


def _may_be_same_images(cfg: Config, one: Mapping, other: Mapping) -> bool:
    """Whether nothing that is known to select images tells two datasets apart."""
    ours, theirs = _selections(cfg, one), _selections(cfg, other)
    return len(ours) == len(theirs) and not any(
        this[name] != that[name] for this, that in zip(ours, theirs) for name in this.keys() & that.keys())


def _selections(cfg: Config, dataset: Mapping) -> List[Dict[str, Any]]:
    """What selects the images of a dataset, or of each in a concatenation, as far as it is known; files by whole paths."""
    return [_selection(cfg, found.config) for found in find_datasets(dict(one=dict(dataset=dataset)), ['one'])]


def _selection(cfg: Config, dataset: Mapping) -> Dict[str, Any]:
    kind = class_of(dataset.get('type'), cfg.get('default_scope'))
    known = parameters_of(kind)[0] if kind else {}
    defaults = {name: one.default for name, one in known.items() if one.default is not one.empty}
    given = {name: dataset.get(name, defaults.get(name)) for name in ('data_root', 'data_prefix', 'ann_file', 'split')}
    root, prefix, listed = (given[name] or '' for name in ('data_root', 'data_prefix', 'ann_file'))
    folders = prefix.values() if isinstance(prefix, Mapping) else [prefix]
    found = dict(type=type_name(dataset), folders={_below(root, folder) for folder in folders},
                 ann_file=_below(root, listed) if listed else '', indices=_numbering(dataset))
    return found if given['split'] is None else dict(found, split=given['split'])


def _below(root: Any, path: Any) -> Any:
    """One string for all ways to write a path below a root."""
    if not all(isinstance(part, (str, os.PathLike)) for part in (root, path)):
        return str(path)
    path = os.path.expanduser(path)
    return _real(path if '://' in str(path) else os.path.join(root, path))
