"""Where the data sets are in a run's config."""
from pathlib import Path
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from mmengine.registry import DATASETS, DefaultScope

from ..registry import type_name

#: What a training run builds; a test set may be absent then.
TRAINING_LOADERS = ('train_dataloader', 'val_dataloader')
ALL_LOADERS = (*TRAINING_LOADERS, 'test_dataloader')


class Found(NamedTuple):
    """A data set of a config.

    Attributes:
        where: Where it is: ``'train_dataloader.dataset.datasets[1]'``.
        config: Its config.
        wrappers: Types of what is around it, the outermost first.
    """
    where: str
    config: Mapping
    wrappers: Tuple[str, ...] = ()


def find_datasets(loader: Any, name: str) -> Iterator[Found]:
    """Walk the datasets below a data loader, through wrappers (``dataset=``) and concatenations (``datasets=``).

    Args:
        loader: Config of the data loader; anything that is none has no datasets here.
        name: What the config calls it.

    Yields:
        Found: Each innermost data set.
    """
    if isinstance(loader, Mapping):
        yield from _innermost(loader.get('dataset'), f'{name}.dataset', ())


def iter_datasets(loader: Any, name: str) -> Iterator[Tuple[str, Mapping]]:
    """As :func:`find_datasets`, but places and configs alone."""
    for found in find_datasets(loader, name):
        yield found.where, found.config


def _innermost(dataset: Any, where: str, wrappers: Tuple[str, ...]) -> Iterator[Found]:
    if not isinstance(dataset, Mapping):
        return
    around = (*wrappers, type_name(dataset))
    if dataset.get('dataset') is not None:
        yield from _innermost(dataset['dataset'], f'{where}.dataset', around)
    elif dataset.get('datasets'):
        for index, item in enumerate(dataset['datasets']):
            yield from _innermost(item, f'{where}.datasets[{index}]', around)
    else:
        yield Found(where, dataset, wrappers)


def is_remote(config: Mapping) -> bool:
    """Whether a dataset's, or an evaluator's, files may lie elsewhere than on this machine's disks."""
    backend = config.get('backend_args')
    if backend and backend.get('backend') != 'local':
        return True
    return any('://' in str(config.get(key)) for key in ('data_root', 'data_prefix', 'ann_file'))


def path_of(dataset: Mapping, path: str) -> Path:
    """A path of a data set's config, below its ``data_root``."""
    return Path(dataset.get('data_root') or '') / path


def class_of(kind: Any, scope: Optional[str], registry: Any = DATASETS) -> Optional[type]:
    """The class that a config's ``type`` means; None if there is none, or its codebase is absent."""
    if not isinstance(kind, str):
        return kind if isinstance(kind, type) else None
    try:
        with DefaultScope.overwrite_default_scope(scope or 'mmengine'):
            found = registry.get(kind)
    except Exception:  # building the run says what is wrong with it
        return None
    return found if isinstance(found, type) else None


def pipeline_step(pipeline: Any, name: str) -> Optional[Mapping]:
    """The first step of a pipeline of that type, by its last name."""
    steps = pipeline if isinstance(pipeline, (list, tuple)) else []
    return next((step for step in steps if isinstance(step, Mapping) and type_name(step) == name), None)


def evaluators_of(config: Any) -> List[Mapping]:
    """The evaluators of ``val_evaluator`` or ``test_evaluator``, one or a list of them."""
    found = config if isinstance(config, (list, tuple)) else [config]
    return [evaluator for evaluator in found if isinstance(evaluator, Mapping)]
