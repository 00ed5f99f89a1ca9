"""Where the data sets and evaluators are in a run's config, and whether all data sets name the same classes."""
import os
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmengine.fileio import list_from_file
from mmengine.registry import DATASETS

from ..config_keys import get_key, parts_at, walk
from ..registry import type_name
from .problems import Problem, few

#: What a training run builds; a test set may be absent then.
TRAINING_LOADERS = ('train_dataloader', 'val_dataloader')
ALL_LOADERS = (*TRAINING_LOADERS, 'test_dataloader')


class Found(NamedTuple):
    """A data set of a config.

    Attributes:
        loader: The key of its data loader.
        where: Its own: ``'train_dataloader.dataset.datasets.1'``.
        config: Its config.
        wrappers: Types of what is around it, the outermost first.
    """
    loader: str
    where: str
    config: Mapping
    wrappers: Tuple[str, ...] = ()


def find_datasets(cfg: Any, loaders: Sequence[str]) -> Iterator[Found]:
    """The data sets below data loaders, through wrappers (``dataset=``) and concatenations (``datasets=``).

    Args:
        cfg: A run's config.
        loaders: Dotted keys of data loaders; one that is absent, or built already, has no data sets here.

    Yields:
        Found: Each innermost data set.
    """
    for loader in loaders:
        top, wrappers = f'{loader}.dataset', {}
        for where, part in [(top, get_key(cfg, top)), *walk(get_key(cfg, top), top)]:
            steps = where[len(top):].split('.')[1:]
            if not isinstance(part, dict) or not all(step in ('dataset', 'datasets') or step.isdigit() for step in steps):
                continue
            if part.get('dataset') is None and not part.get('datasets'):
                around = tuple(type_name(other) for place, other in wrappers.items() if where.startswith(f'{place}.'))
                yield Found(loader, where, part, around)
            else:
                wrappers[where] = part


def find_evaluators(cfg: Any, loader: str) -> Iterator[Tuple[str, Mapping]]:
    """The evaluators of a data loader, one or a list of them, with their dotted keys."""
    return parts_at(cfg, loader.replace('dataloader', 'evaluator'))


def is_remote(config: Mapping) -> bool:
    """Whether a dataset's, or an evaluator's, files may lie elsewhere than on this machine's disks."""
    backend = config.get('backend_args')
    if backend and backend.get('backend') != 'local':
        return True
    return any('://' in str(config.get(key)) for key in ('data_root', 'data_prefix', 'ann_file'))


def path_of(dataset: Mapping, path: str) -> Path:
    """A path of a data set's config, below its ``data_root``."""
    return Path(dataset.get('data_root') or '') / path


def require(path: Path, where: str, key: str, expected: str, folder: bool = False) -> None:
    """Refuse a file, or a folder, that is not there.

    Args:
        path: The file.
        where: The setting that names it.
        key: What to correct besides ``data_root``.
        expected: What it should be, for the message.
        folder: Whether it is a folder.

    Raises:
        FileNotFoundError: If it is not there.
    """
    if not (path.is_dir() if folder else path.is_file()):
        raise FileNotFoundError(f'{where}: {path} {"is not a folder" if folder else "does not exist"}. Expected {expected}. '
                                f'Correct data_root and {key}, or LBBT_DATA_ROOT (now '
                                f'{os.environ.get("LBBT_DATA_ROOT", "unset")}).')


def class_of(kind: Any, scope: Optional[str], registry: Any = DATASETS) -> Optional[type]:
    """The class that a config's ``type`` means; None if there is none, or its codebase is absent."""
    if not isinstance(kind, str):
        return kind if isinstance(kind, type) else None
    try:
        with registry.switch_scope_and_registry(scope) as of_scope:
            found = of_scope.get(kind)
    except Exception:  # building the run says what is wrong with it
        return None
    return found if isinstance(found, type) else None


def is_a(config: Mapping, base: str, scope: Optional[str], registry: Any = DATASETS) -> bool:
    """Whether the class that a config's ``type`` means is one of that name, or inherits it."""
    kind = class_of(config.get('type'), scope, registry)
    return any(one.__name__ == base for one in getattr(kind, '__mro__', ()))


def pipeline_step(pipeline: Any, name: str) -> Optional[Mapping]:
    """The first step of a pipeline of that type, by its last name."""
    steps = pipeline if isinstance(pipeline, (list, tuple)) else []
    return next((step for step in steps if isinstance(step, Mapping) and type_name(step) == name), None)


def chosen(samples: Sequence[Any], found: Found) -> Sequence[Any]:
    """Those of a data set's samples that its ``indices`` leave.

    Raises:
        ValueError: If one of them is not there.
    """
    indices = found.config.get('indices')
    if indices is None:
        return samples
    if isinstance(indices, int):
        return samples[:indices] if indices >= 0 else samples[indices:]
    odd = next((index for index in indices if not -len(samples) <= index < len(samples)), None)
    if odd is not None:
        raise ValueError(f'{found.where}.indices: holds {odd}, and there are {len(samples)} samples; expected places from 0 '
                         f'to {len(samples) - 1}. Correct them.')
    return [samples[index] for index in indices]


def named_classes(dataset: Mapping) -> Optional[List[str]]:
    """The classes that a data set's config names, or a file that it names; None where it names none."""
    classes = dataset.get('classes')
    if classes is None:
        classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):  # mmengine reads a name that is a file's as a list of classes
        return list_from_file(classes) if Path(classes).is_file() else [classes]
    return None if classes is None else list(classes)


def compare_meanings(named: Iterable[Tuple[Found, Dict[str, Any]]], loaders: Sequence[str]) -> Iterator[Problem]:
    """One head, one meaning of a label: what gives it has to be alike in all data sets.

    What another phase would use is only said: many configs inherit it unused.

    Args:
        named: Data sets, and the settings that give their labels, by what they are called.
        loaders: The data loaders that the run uses.

    Yields:
        Problem: The first that is not as in the first data set.
    """
    first: Dict[str, Tuple[Found, Any]] = {}
    for found, settings in named:
        for name, value in settings.items():
            other, theirs = first.setdefault(name, (found, value))
            if value != theirs:
                shown = [few(one) if isinstance(one, list) else repr(one) for one in (value, theirs)]
                yield Problem(found.where, f'{name} is {shown[0]}, that of {other.where} {shown[1]}, so equal labels would '
                              'mean other classes. Give all data sets the same, in the same order.',
                              fatal=found.loader in loaders and other.loader in loaders)
                return


def check_num_classes(where: str, classes: Sequence[str], heads: Iterable[Tuple[str, Any]]) -> Iterator[Problem]:
    """One output of a head for each class.

    Args:
        where: The data set.
        classes: Its classes.
        heads: Keys of heads' numbers of classes, and what these are; None for one that is not known.

    Yields:
        Problem: The first that is another number.
    """
    odd = next(((key, given) for key, given in heads if given is not None and given != len(classes)), None)
    if odd:
        yield Problem('', f'{odd[0]}={odd[1]}, but {where} has {len(classes)} classes ({few(classes)}). Set '
                      f'{odd[0]}={len(classes)}, or metainfo=dict(classes=...) of the data set.')
