"""Checks of COCO-style datasets before a run starts: mmdet drops what does not match without a word."""
import json
import mmap
import os
import re
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from mmengine.config import Config
from mmengine.fileio import list_from_file

# What a training run builds; a test set may be absent then.
TRAINING_LOADERS = ('train_dataloader', 'val_dataloader')


def check_coco_datasets(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS) -> None:
    """Check that annotation files and image folders exist and that their categories are the config's classes.

    Args:
        cfg: A run's config; datasets other than mmdet's CocoDataset, and remote ones, are passed over.
        loaders: Which data loaders the run uses.

    Raises:
        FileNotFoundError: If an annotation file or an image folder is absent.
        ValueError: If categories do not match the classes, or annotations name unknown categories.
    """
    seen = set()
    for name in loaders:
        for where, dataset in iter_datasets(cfg.get(name), name):
            key = repr((dataset.get('data_root'), dataset.get('ann_file'), dataset.get('metainfo'),
                        dataset.get('data_prefix')))
            if key not in seen and _is_coco(dataset) and not is_remote(dataset):
                seen.add(key)
                _check_dataset(where, dataset)
        _check_evaluators(cfg, name.replace('dataloader', 'evaluator'))
    _check_num_classes(cfg, loaders)


def iter_datasets(loader: Any, name: str) -> Iterator[Tuple[str, Mapping]]:
    """Walk the datasets below a data loader, through wrappers (``dataset=``) and concatenations (``datasets=``).

    Args:
        loader: Config of the data loader; anything that is none has no datasets here.
        name: What the config calls it.

    Yields:
        tuple: Where a dataset is (``'train_dataloader.dataset.datasets[1]'``) and its config; wrappers are passed through.
    """
    if isinstance(loader, Mapping):
        yield from _innermost(loader.get('dataset'), f'{name}.dataset')


def _innermost(dataset: Any, where: str) -> Iterator[Tuple[str, Mapping]]:
    if not isinstance(dataset, Mapping):
        return
    if dataset.get('dataset') is not None:
        yield from _innermost(dataset['dataset'], f'{where}.dataset')
    elif dataset.get('datasets'):
        for index, item in enumerate(dataset['datasets']):
            yield from _innermost(item, f'{where}.datasets[{index}]')
    else:
        yield where, dataset


def _is_coco(dataset: Mapping) -> bool:
    return str(dataset.get('type', '')).split('.')[-1] == 'CocoDataset' and 'ann_file' in dataset


def is_remote(config: Mapping) -> bool:
    """Whether a dataset's, or an evaluator's, files may lie elsewhere than on this machine's disks."""
    backend = config.get('backend_args')
    if backend and backend.get('backend') != 'local':
        return True
    return any('://' in str(config.get(key)) for key in ('data_root', 'data_prefix', 'ann_file'))


def _check_dataset(where: str, dataset: Mapping) -> None:
    annotations = _join(dataset, dataset['ann_file'])
    if not annotations.is_file():
        raise FileNotFoundError(f'{where}.ann_file: {annotations} does not exist. Expected a COCO annotation file; correct '
                                'data_root and ann_file, or LBBT_DATA_ROOT (now '
                                f'{os.environ.get("LBBT_DATA_ROOT", "unset")}).')
    images = (dataset.get('data_prefix') or {}).get('img')
    if images is not None and not _join(dataset, images).is_dir():
        raise FileNotFoundError(f'{where}.data_prefix.img: {_join(dataset, images)} is not a folder. Expected the images '
                                f'that {annotations.name} lists; correct data_root or data_prefix.')
    categories, used = _scan(annotations)
    if categories is None:
        raise ValueError(f"{where}.ann_file: {annotations} has no 'categories' list. Expected a COCO annotation file with "
                         "'images', 'annotations' and 'categories'.")
    unknown = sorted(used - set(categories))
    if unknown:
        raise ValueError(f'{where}.ann_file: annotations in {annotations} have category_id {few(unknown)}, which its '
                         f"'categories' do not list (they list {few(sorted(categories))}). mmdet would drop those boxes; "
                         'correct the file.')
    names = set(categories.values())
    missing = [name for name in _classes(dataset) if name not in names]
    if missing:
        raise ValueError(f'{where}: classes {few(missing)} are not among the categories of {annotations} '
                         f'({few(sorted(names))}). Set metainfo=dict(classes=...) of the dataset to the names in the '
                         'file, and model.bbox_head.num_classes to their number.')


def _check_evaluators(cfg: Config, name: str) -> None:
    """An evaluator names its annotation file a second time, which an override of ``data_root`` does not reach."""
    evaluators = cfg.get(name) or []
    for evaluator in [evaluators] if isinstance(evaluators, Mapping) else evaluators:
        path = evaluator.get('ann_file') if str(evaluator.get('type')).endswith('CocoMetric') else None
        if path and not is_remote(evaluator) and not Path(path).is_file():
            raise FileNotFoundError(f'{name}.ann_file: {path} does not exist. Expected the annotation file of the dataset '
                                    'that is evaluated; correct it together with data_root.')


def _classes(dataset: Mapping) -> List[str]:
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        from mmdet.datasets import CocoDataset
        classes = CocoDataset.METAINFO['classes']
    if isinstance(classes, str):  # mmengine reads a name that is a file's as a list of classes
        return list_from_file(classes) if Path(classes).is_file() else [classes]
    return list(classes)


def _check_num_classes(cfg: Config, loaders) -> None:
    head = (cfg.get('model') or {}).get('bbox_head')
    if not isinstance(head, Mapping) or head.get('num_classes') is None:
        return
    for name in loaders:
        for where, dataset in iter_datasets(cfg.get(name), name):
            count = len(_classes(dataset)) if _is_coco(dataset) else head['num_classes']
            if count != head['num_classes']:
                raise ValueError(f'model.bbox_head.num_classes={head["num_classes"]}, but {where} has {count} classes. Set '
                                 f'model.bbox_head.num_classes={count}, or correct metainfo.classes of the dataset.')


def _scan(path: Path) -> Tuple[Optional[dict], Set[int]]:
    """Categories of an annotation file (id -> name) and the ids in use, without parsing hundreds of megabytes."""
    if not path.stat().st_size:  # cannot be mapped
        return None, set()
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        used = {int(match) for match in re.findall(rb'"category_id"\s*:\s*(\d+)', text)}
        start = text.rfind(b'"categories"')
        bracket = text.find(b'[', start)
        return _categories(text, bracket) if min(start, bracket) >= 0 else None, used


def _categories(text: mmap.mmap, begin: int) -> Optional[dict]:
    """Categories (id -> name) of the list that begins there; None where it is none, or has no end."""
    length = 1 << 16
    while True:
        piece = text[begin:begin + length]
        try:
            items, _ = json.JSONDecoder().raw_decode(piece.decode(errors='replace'))
            return {item['id']: item['name'] for item in items}
        except ValueError:  # not a list, or a longer one; what follows it may be hundreds of megabytes
            if len(piece) < length:
                return None
            length *= 8
        except (TypeError, KeyError, RecursionError):
            return None


def _join(dataset: Mapping, path: str) -> Path:
    return Path(dataset.get('data_root') or '') / path


def few(items: Sequence[Any], most: int = 5) -> str:
    """The first of some items, for a message, and how many more there are."""
    shown = ', '.join(map(repr, items[:most]))
    return shown + (f' and {len(items) - most} more' if len(items) > most else '')
