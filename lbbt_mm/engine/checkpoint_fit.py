"""Whether a checkpoint fits a model and an optimizer: no host library refuses one that does not.

mmengine loads what has the right name and warns of the rest; torch's fused optimizers take state of other shapes and write
beyond their memory.
"""
import re
from collections import OrderedDict, defaultdict
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

import torch
from rich import box
from torch import Tensor, nn

from lbbt_mm.engine.text_table import render_table

_SHAPES = re.compile(r'size mismatch for (\S+): copying a param with shape (?:torch\.Size\()?(.+?)\)? from checkpoint, '
                     r'the shape in current model is (?:torch\.Size\()?(.+?)\)?\.$', re.MULTILINE)
#: State that torch's optimizers keep for a parameter in the parameter's own shape.
_ELEMENTWISE = ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'momentum_buffer', 'square_avg', 'grad_avg', 'sum', 'acc_delta',
                'exp_inf', 'prev', 'step_size')


class CheckpointMisfit(ValueError):
    """A checkpoint does not fit what it is to be loaded into."""


class Fit(NamedTuple):
    """What became of the tensors of a checkpoint and of a model.

    Attributes:
        loaded: Names of the tensors that both have, in equal shapes.
        missing: Those that the model alone has.
        extra: Those that the checkpoint alone has.
        misshapen: Name -> shape in the checkpoint, shape in the model.
    """
    loaded: List[str]
    missing: List[str]
    extra: List[str]
    misshapen: Dict[str, Tuple[str, str]]

    @property
    def names(self) -> List[str]:
        """Names of all tensors that do not fit."""
        return [*self.misshapen, *self.missing, *self.extra]

    def describe(self) -> str:
        """What does not fit, as one phrase: the first tensor of a kind, and how many there are."""
        phrases = []
        if self.misshapen:
            name, (there, here) = next(iter(self.misshapen.items()))
            phrases.append(f'{name} has shape {there} there and {here} in this model{_of(self.misshapen)}')
        if self.missing:
            phrases.append(f'it lacks {self.missing[0]}{_of(self.missing)}')
        if self.extra:
            phrases.append(f'this model has no {self.extra[0]}{_of(self.extra)}')
        return '; '.join(phrases)


def _of(names: Any) -> str:
    return f' ({len(names)} such tensors)' if len(names) > 1 else ''


def load_and_compare(model: nn.Module, state_dict: Mapping[str, Tensor], where: str) -> Fit:
    """Load a state dict as far as it fits, and say how far that was; the modules' own hooks may rename or resize.

    Args:
        model: The model, without a wrapper for distribution.
        state_dict: The checkpoint's tensors by the model's names.
        where: What the checkpoint is called, for messages.

    Returns:
        Fit: What fits and what does not.

    Raises:
        CheckpointMisfit: If something else than names and shapes stands in the way.
    """
    odd = next((name for name, value in state_dict.items()
                if not isinstance(value, Tensor) and not name.endswith('_extra_state')), None)
    if odd is not None:
        raise CheckpointMisfit(f'{where}: {odd} is a {type(state_dict[odd]).__name__}; expected a tensor. Give a checkpoint '
                               'that training wrote.')
    # a hook of a module may make an entry fit that has another shape as it is stored
    misshapen: Dict[str, Tuple[str, str]] = {}
    try:
        found = model.load_state_dict(state_dict, strict=False)
        missing, extra = found.missing_keys, found.unexpected_keys
    except RuntimeError as error:
        misshapen = {name: (_shape(there), _shape(here)) for name, there, here in _SHAPES.findall(str(error))}
        if not misshapen:
            raise CheckpointMisfit(f'{where}: cannot be loaded: {" ".join(str(error).split())}') from None
        rest = OrderedDict((name, value) for name, value in state_dict.items() if name not in misshapen)
        rest._metadata = getattr(state_dict, '_metadata', OrderedDict())
        found = model.load_state_dict(rest, strict=False)
        missing, extra = [name for name in found.missing_keys if name not in misshapen], found.unexpected_keys
    # as mmengine does: batch norms of old checkpoints have no such counter
    missing = [name for name in missing if not name.endswith('num_batches_tracked')]
    gone = {*missing, *extra, *misshapen}
    return Fit([name for name in model.state_dict() if name not in gone], missing, list(extra), misshapen)


def _shape(text: str) -> str:
    numbers = re.findall(r'\d+', text)
    return f'({", ".join(numbers)}{"," if len(numbers) == 1 else ""})'


def is_below(name: str, prefixes: Iterable[str]) -> bool:
    """Whether a dotted name is one of ``prefixes`` or in a part that one of them names."""
    return any(name == prefix or name.startswith(f'{prefix}.') for prefix in prefixes)


def parts_of(names: Sequence[str], most: int = 3) -> List[str]:
    """The modules that hold tensors, fewer than ``most + 1`` of them: the deepest that still are so few."""
    for depth in range(max((name.count('.') for name in names), default=0), 0, -1):
        parts = list(dict.fromkeys('.'.join(name.split('.')[:-1][:depth]) or name for name in names))
        if len(parts) <= most:
            return parts
    return list(dict.fromkeys(name.split('.')[0] for name in names))


def fit_table(fit: Fit, title: str) -> str:
    """A table of what was loaded, what starts anew and what stayed behind, a row for each part of the model.

    Args:
        fit: What :func:`load_and_compare` found.
        title: What the table is about.
    """
    counts: Dict[str, List[int]] = defaultdict(lambda: [0, 0, 0])
    for column, names in enumerate((fit.loaded, [*fit.missing, *fit.misshapen], [*fit.extra, *fit.misshapen])):
        for name in names:
            counts['.'.join(name.split('.')[:2]) if name.count('.') > 1 else name.split('.')[0]][column] += 1
    rows = [(part, *map(str, numbers)) for part, numbers in counts.items()]
    total = [str(sum(numbers[column] for numbers in counts.values())) for column in range(3)]
    return render_table(title, ('part', 'loaded', 'starts anew', 'left behind'), [*rows, ('total', *total)], box.ASCII)


def check_optimizer_state(optimizer: torch.optim.Optimizer, saved: Any, names: Mapping[int, str]) -> None:
    """Check that saved optimizer state is of these parameters' shapes.

    Args:
        optimizer: The optimizer that is to take it.
        saved: What its ``state_dict()`` gave when it was saved.
        names: ``id`` of a parameter -> its name, for messages.

    Raises:
        CheckpointMisfit: If parameters or their state differ in number or shape.
    """
    saved, here = saved if isinstance(saved, Mapping) else {}, optimizer.param_groups
    groups = saved.get('param_groups')
    if not isinstance(groups, list) or not isinstance(saved.get('state'), Mapping):
        raise CheckpointMisfit('its optimizer state is not one that torch writes')
    sizes = [len(group['params']) for group in groups], [len(group['params']) for group in here]
    if sizes[0] != sizes[1]:
        raise CheckpointMisfit(f'its optimizer had {sum(sizes[0])} parameters in {len(groups)} groups, this one has '
                               f'{sum(sizes[1])} in {len(here)}')
    for there, group in zip(groups, here):
        for index, parameter in zip(there['params'], group['params']):
            state = saved['state'].get(index) or {}
            for key, value in state.items():
                if key in _ELEMENTWISE and isinstance(value, Tensor) and value.shape != parameter.shape:
                    raise CheckpointMisfit(
                        f'the optimizer state {key} of {names.get(id(parameter), f"parameter {index}")} has shape '
                        f'{tuple(value.shape)} there, the parameter in this model has {tuple(parameter.shape)}')
