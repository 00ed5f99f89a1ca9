"""Whether a checkpoint fits a model and an optimizer: no host library refuses one that does not.

mmengine loads what has the right name and warns of the rest; torch's fused optimizers take state of other shapes and write
beyond their memory.
"""
import math
import re
from collections import OrderedDict, defaultdict
from copy import copy
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

import torch
from rich import box
from torch import Tensor, nn

from lbbt_mm.text_table import render_table

_SHAPES = re.compile('size mismatch for (.+): copying a param with shape (.+) from checkpoint, the shape in current model '
                     'is (.+)')
#: State that torch's optimizers keep for a parameter in the parameter's own shape.
_ELEMENTWISE = ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'momentum_buffer', 'square_avg', 'grad_avg', 'sum', 'acc_delta',
                'exp_inf', 'prev', 'step_size', 'ax')
#: Of these, those that are sums or means of squares, or of amounts.
_AMOUNTS = ('exp_avg_sq', 'max_exp_avg_sq', 'square_avg', 'sum', 'acc_delta', 'exp_inf', 'step')
#: Where one parameter has it, all have that have any state.
_FOR_EACH = {*_ELEMENTWISE, 'step'}
#: Optimizers whose first parameter holds the state of all, in one piece.
_ALL_IN_ONE = ('LBFGS', )

#: In a checkpoint's meta: the parts of its model that the training did not take from the checkpoint it began from.
LEFT_OUT_KEY = 'lbbt_mm_left_out'


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
    _check_numbers(model, state_dict, where)
    # a hook of a module may make an entry fit that has another shape as it is stored
    misshapen: Dict[str, Tuple[str, str]] = {}
    try:
        found = model.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:
        misshapen = {name: (_shape(there), _shape(here)) for name, there, here in _SHAPES.findall(str(error))}
        if not misshapen:
            raise CheckpointMisfit(f'{where}: cannot be loaded: {" ".join(str(error).split())}') from None
        rest = copy(state_dict)  # with the versions of its modules
        for name in misshapen:
            rest.pop(name, None)
        found = model.load_state_dict(rest, strict=False)
    # as mmengine does: batch norms of old checkpoints have no such counter
    missing = [name for name in found.missing_keys if name not in misshapen and not name.endswith('num_batches_tracked')]
    gone = {*missing, *found.unexpected_keys, *misshapen}
    return Fit([name for name in model.state_dict() if name not in gone], missing, found.unexpected_keys, misshapen)


def _check_numbers(model: nn.Module, state_dict: Mapping[str, Tensor], where: str) -> None:
    """Refuse what torch would take without a word: numbers of another kind, one number for a row of them, and no numbers."""
    parameters = dict(model.named_parameters())
    for name, here in model.state_dict().items():
        there = state_dict.get(name)
        if not isinstance(there, Tensor) or not isinstance(here, Tensor):
            continue
        if there.is_floating_point() != here.is_floating_point() or there.is_complex() != here.is_complex():
            raise CheckpointMisfit(f'{where}: {name} is of type {there.dtype}, in this model of {here.dtype}; torch '
                                   'would convert it without a word. Give a checkpoint that training wrote.')
        if there.layout != torch.strided or there.is_quantized:
            raise CheckpointMisfit(f'{where}: {name} is sparse or quantised; expected a plain tensor. Give a checkpoint '
                                   'that training wrote.')
        if there.ndim == 0 and here.ndim == 1 and len(here) != 1:
            raise CheckpointMisfit(f'{where}: {name} has shape () there and {tuple(here.shape)} in this model; torch would '
                                   'take one number for all. Give a checkpoint that training wrote.')
        # a buffer may be a mask of infinities
        if not there.is_meta and (there.isnan() if name not in parameters else ~there.isfinite()).any():
            raise CheckpointMisfit(f'{where}: {name} holds NaN or infinity; expected finite numbers. The training diverged; '
                                   'give an earlier checkpoint of it.')


def _shape(text: str) -> str:
    return str(tuple(map(int, re.findall(r'\d+', text))))


def is_below(name: str, prefixes: Iterable[str]) -> bool:
    """Whether a dotted name is one of ``prefixes`` or in a part that one of them names."""
    return any(name == prefix or name.startswith(f'{prefix}.') for prefix in prefixes)


def left_out_in(checkpoint: Mapping[str, Any]) -> List[str]:
    """What the training of a checkpoint left out of ``load_from``, as :class:`lbbt_mm.CheckpointFitHook` notes it.

    Args:
        checkpoint: A checkpoint.

    Returns:
        list[str]: Parts of the model, by dotted name; none where it says nothing.
    """
    meta = checkpoint.get('meta')
    found = meta.get(LEFT_OUT_KEY) if isinstance(meta, Mapping) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def metadata_without(state_dict: Mapping[str, Any], left_out: Sequence[str]) -> 'OrderedDict[str, Any]':
    """What a state dict says of its modules beside their tensors, those aside that are left out."""
    found = getattr(state_dict, '_metadata', None) or {}
    return OrderedDict((name, value) for name, value in found.items() if not is_below(name, left_out))


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


def check_optimizer_state(optimizer: torch.optim.Optimizer, saved: Any, names: Mapping[int, str]) -> List[str]:
    """Check that saved optimizer state is of these parameters' shapes.

    Args:
        optimizer: The optimizer that is to take it.
        saved: What its ``state_dict()`` gave when it was saved.
        names: ``id`` of a parameter -> its name, for messages.

    Returns:
        list[str]: Parameters that train here and have no state there, while others do.

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
    if type(optimizer).__name__ in _ALL_IN_ONE:
        return []
    anew = []
    kept = {key for state in saved['state'].values() if isinstance(state, Mapping) for key in state} & _FOR_EACH
    for there, group in zip(groups, here):
        _check_options(there, group)
        for index, parameter in zip(there['params'], group['params']):
            state, name = saved['state'].get(index), names.get(id(parameter), f'parameter {index}')
            if state is None:  # a parameter that no gradient has reached has none
                anew += [name] if saved['state'] and parameter.requires_grad else []
                continue
            lacking = sorted(kept - set(state)) if isinstance(state, Mapping) else ['all of it']
            if lacking:
                raise CheckpointMisfit(f'the optimizer state of {name} lacks {lacking[0]}, which that of other parameters '
                                       'has')
            for key, value in state.items():
                if isinstance(value, Tensor):
                    _check_state(f'the optimizer state {key} of {name}', key, value, parameter)
                if key in _FOR_EACH and not _is_amount(value, 0. if key in _AMOUNTS else -math.inf):
                    raise CheckpointMisfit(f'the optimizer state {key} of {name} holds NaN or numbers that it cannot have')
    return anew


def _is_amount(value: Any, least: float) -> bool:
    """Whether something is a number, or a tensor of them, and none is NaN or below ``least``."""
    if isinstance(value, Tensor):
        return value.is_meta or value.is_complex() or bool((value >= least).all())
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= least


def _check_options(there: Mapping[str, Any], group: Mapping[str, Any]) -> None:
    for option, here in group.items():
        if option not in there and option != 'param_names':
            raise CheckpointMisfit(f'its optimizer state lacks the option {option!r}')
        if isinstance(here, float) and not _is_amount(there[option], least=0. if option == 'lr' else -math.inf):
            raise CheckpointMisfit(f'the option {option!r} of its optimizer is {there[option]!r:.60}; expected a number')


def _check_state(what: str, key: str, value: Tensor, parameter: Tensor) -> None:
    """Fused optimizers write over the whole of a state tensor, however little of it is there."""
    if key in _ELEMENTWISE and value.shape != parameter.shape:
        raise CheckpointMisfit(f'{what} has shape {tuple(value.shape)} there, the parameter in this model has '
                               f'{tuple(parameter.shape)}')
    # what is kept by rows and columns, as by Adafactor, has ones in the other places
    by_parts = value.ndim == parameter.ndim and all(side in (1, whole) for side, whole in zip(value.shape, parameter.shape))
    if value.numel() != 1 and value.shape != parameter.shape and not by_parts or value.numel() == 0 < parameter.numel():
        raise CheckpointMisfit(f'{what} has shape {tuple(value.shape)} there, which is neither one number nor that of the '
                               f'parameter, {tuple(parameter.shape)}')
    if value.layout != torch.strided or value.is_quantized or not _is_dense(value):
        raise CheckpointMisfit(f'{what} is no plain tensor: its numbers do not lie one beside the other in memory')


def _is_dense(tensor: Tensor) -> bool:
    """Whether each element has a place of its own and there is none between them."""
    outermost_first = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return tensor.permute(outermost_first).is_contiguous()
