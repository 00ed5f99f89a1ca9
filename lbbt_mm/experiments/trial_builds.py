"""What an experiment's configs describe, built once before its first training.

So a wrong value in a later cell, arm or probe is found at once, not when the trainings before it have ended.
"""
import json
import re
from typing import Any, Iterator, Mapping, Sequence, Set, Tuple

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, HOOKS, MODELS, OPTIMIZERS, TRANSFORMS, DefaultScope
from mmengine.utils import import_modules_from_strings

from lbbt_mm.checks.datasets import TRAINING_LOADERS, class_of
from lbbt_mm.checks.random_labels import with_bridge_loader
from lbbt_mm.config_keys import get_key, walk
from lbbt_mm.language.errors import CheckpointError, UnreachableError
from lbbt_mm.launch.quiet_imports import quiet
from lbbt_mm.launch.user_errors import describe
from lbbt_mm.models.initializers.init_steps import steps_of
from lbbt_mm.registry import WEIGHT_INITIALIZERS, type_name
from lbbt_mm.runs.run_request import as_json, override
from .plan import Plan, Run
from .stages import Stage

#: What is raised over a wrong value. Other errors are of the meta device, this machine or the network: a training tells
_OF_VALUES = (ValueError, TypeError, KeyError, AssertionError)
#: What such an error says that is of the meta device (numpy asks for the values of a tensor, and torch answers by a
#: TypeError), or of a training's process group, which is not there yet
_NOT_OF_VALUES = re.compile(r'\bmeta\b|process group has not been initialized')
#: Data sets whose arguments can be looked at without the data: they wrap what reads it
_WRAPPERS = ('EvenSubset', 'RandomLabelDataset')
#: Initialisers of ours that are looked at together with the model whose parts they name
_INITIALIZERS = ('LanguageInit', 'BridgeInit')


def check_builds(plan: Plan, runs: Sequence[Run]) -> None:
    """Build what differs between the starts of an experiment, without reading data or weights.

    That is models, on torch's meta device; transforms, hooks and the arguments of data-set wrappers of ours; and torch's
    optimizers. Nothing is built where there is one start without probes: its training itself is the first to tell.

    Args:
        plan: The plan.
        runs: Its runs that have nothing done yet.

    Raises:
        ValueError: If a value is one that its part does not take: names cell, arm and probe.
    """
    starts = {(run.source, run.arm): run for run in reversed(runs)}
    asked = [(run, stage) for stage in plan.stages for run in reversed([*starts.values()])]
    if len(asked) < 2:
        return
    seen: Set[str] = set()
    for run, stage in asked:
        cfg = override(stage.base, plan.overrides(run, stage))
        try:
            # what is built twice, here and in the training, speaks there
            with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'), quiet():
                _build(cfg, seen)
        except UnreachableError:  # each other build would ask the hub again, for about a minute
            return
        except _OF_VALUES as error:
            raise ValueError(f'{_place(plan, run, stage)}: {describe(error).rstrip(".")}. Correct the value; no training '
                             'was begun.') from error


def _place(plan: Plan, run: Run, stage: Stage) -> str:
    """Which training of an experiment it is, by what tells it from the others."""
    cell, model = run.source.cell.name, run.source.name
    named = [f'--cells, --cell: cell {cell}' if cell else '', f'--sources {model}' if model else '',
             f'arm {run.arm}' if len(plan.arms) > 1 else '', f'probe {stage.name}' if stage.bridge_init else '']
    return ', '.join(filter(None, named)) or str(stage.config)


def _build(cfg: Config, seen: Set[str]) -> None:
    """Build what a config describes, unless it is among what was built before.

    Raises:
        UnreachableError: If the hub is to be asked, and cannot be.
        ValueError, TypeError, KeyError, AssertionError: What a constructor says of a value.
    """
    try:
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
    except Exception:  # its classes are not known here; the training says what is wrong
        return
    for part, kind, stand_ins in _small_parts(cfg):
        if _is_new(part, seen):
            arguments = {key: value for key, value in part.items() if key not in ('type', 'priority', '_scope_')}
            _try(lambda kind=kind, arguments={**arguments, **stand_ins}: kind(**arguments))
    model = cfg.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        return
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)  # as the runner does
    if _is_new(model, seen):
        class_of(model['type'], DefaultScope.get_current_instance().scope_name, MODELS)  # imported with its tensors
        _try(lambda: _build_model(model))


def _is_new(part: Any, seen: Set[str]) -> bool:
    text = json.dumps(as_json(part), sort_keys=True)
    known = text in seen
    seen.add(text)
    return not known


def _try(build: Any) -> None:
    """Build something; an error that says nothing of a value passes.

    Raises:
        UnreachableError: If the hub cannot be asked.
        ValueError, TypeError, KeyError, AssertionError: One that says something of a value.
    """
    try:
        build()
    except _OF_VALUES as error:
        if isinstance(error, UnreachableError) or not _NOT_OF_VALUES.search(str(error)):
            raise
    except Exception:
        pass


def _build_model(model: Mapping) -> None:
    """Build a model without memory for its weights, and its initialisers of ours, which the runner builds later."""
    with torch.device('meta'):
        built = MODELS.build(model)
    for module in built.modules():
        for step in steps_of(getattr(module, 'init_cfg', None)):
            if type_name(step) in _INITIALIZERS:
                _check_initializer(step, module)


def _check_initializer(step: Mapping, module: torch.nn.Module) -> None:
    if type_name(step) != 'BridgeInit':
        WEIGHT_INITIALIZERS.build(step)
        return
    initializer = WEIGHT_INITIALIZERS.build({**step, 'checkpoint': None})
    try:
        initializer(module)
    except CheckpointError:  # it looks for the parts that it leaves out, then for the checkpoint, which is not there yet
        pass


def _small_parts(cfg: Config) -> Iterator[Tuple[Mapping, type, Mapping]]:
    """What else is built without data: transforms, hooks and wrappers of ours, and an optimizer of torch's.

    Yields:
        tuple: A part of the config, its class, and what stands for the data and the weights there.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    loaders = {key: get_key(cfg, key) for key in with_bridge_loader(TRAINING_LOADERS)}
    hooks = {key: cfg.get(key) for key in ('custom_hooks', 'default_hooks')}
    optimizer = dict(optimizer=get_key(cfg, 'optim_wrapper.optimizer'))
    weight = dict(params=[torch.nn.Parameter(torch.zeros(2, 2))])
    unread = dict(dataset=BaseDataset(lazy_init=True), lazy_init=True)
    for places, registry, package, stand_ins in (
            (loaders, TRANSFORMS, 'lbbt_mm.', {}), (loaders, DATASETS, 'lbbt_mm.', unread), (hooks, HOOKS, 'lbbt_mm.', {}),
            (optimizer, OPTIMIZERS, 'torch.optim.', weight)):
        for _, part in walk(places):
            if not isinstance(part, dict) or registry is DATASETS and type_name(part) not in _WRAPPERS:
                continue
            kind = class_of(part.get('type'), scope, registry)
            if kind is not None and kind.__module__.startswith(package):
                yield part, kind, stand_ins
