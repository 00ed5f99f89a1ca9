"""Tensors of a language model are copied into modules: every parameter is filled, and every tensor used."""
from typing import Dict, Iterable, List, Mapping, Optional

import torch
from torch import Tensor, nn

from .families import FAMILIES
from .spec import LanguageModelSpec


@torch.no_grad()
def copy_block(block: nn.Module, spec: LanguageModelSpec, index: int,
               tensors: Mapping[str, Tensor]) -> Dict[str, nn.Parameter]:
    """Copy one source block into one LanguageBlock, in place.

    A block with cross-attention takes the self-attention's tensors for it too (LBBT, "Extend to Vision Dense
    Prediction Tasks"), and ``ln_1`` for the norm before it.

    Args:
        block: The LanguageBlock.
        spec: The language model.
        index: Index of the source block.
        tensors: Its tensors by canonical checkpoint name.

    Returns:
        dict[str, Parameter]: The parameters that were filled, by name within the block.

    Raises:
        ValueError: If a parameter is missing, left over, or of another shape than its source.
    """
    family = FAMILIES[spec.model_type]
    prefix = family.block_prefix.format(i=index)
    parameters = named_weights(block)
    with_cross = any(name.startswith('cross_attn.') for name in parameters)
    filled = {}
    for rule in family.rules(spec.block):
        stacked = [tensors[prefix + name].T if rule.transpose else tensors[prefix + name] for name in rule.sources]
        for target in [rule.target] + ([_cross_name(rule.target)] if with_cross else []):
            if target is not None:
                _fill(parameters, target, stacked, prefix + next(iter(rule.sources)))
                filled[target] = parameters[target]
    left_over = sorted(set(parameters) - set(filled))
    if left_over:
        raise ValueError(f'block parameter {left_over[0]!r} has no tensor in a {spec.model_type} block; expected every '
                         'parameter to be filled. The block was built from another spec than the weights have.')
    return filled


@torch.no_grad()
def copy_part(module: nn.Module, path: str, tensors: Mapping[str, Tensor]) -> Dict[str, nn.Parameter]:
    """Copy a part outside the blocks, in place: a norm, or the first rows of a position table.

    Args:
        module: The module that is initialised.
        path: Dotted path of the norm or of the table.
        tensors: The part's tensors by canonical checkpoint name.

    Returns:
        dict[str, Parameter]: The parameters that were filled, by name below ``path``; the table's is empty.

    Raises:
        ValueError: If a parameter is missing, left over, or does not fit its source.
    """
    parameters = {name[len(path) + 1:]: parameter for name, parameter in named_weights(module).items()
                  if f'{name}.'.startswith(f'{path}.')}
    is_table = '' in parameters and len(tensors) == 1
    sources = {'' if is_table else name.rsplit('.', 1)[-1]: name for name in tensors}
    if sources.keys() != parameters.keys():
        raise ValueError(f'{path!r} has the parameters {sorted(parameters)}, its source gives {sorted(sources)}. The module '
                         'was built from another spec than the weights have.')
    for target, name in sources.items():
        tensor, parameter = tensors[name], parameters[target]
        if is_table:  # it may be longer than the module has positions
            tensor = tensor[None, :parameter.shape[1]]
        if tensor.shape != parameter.shape:
            raise ValueError(f'tensor {name!r} of shape {tuple(tensors[name].shape)} cannot fill {path!r} of shape '
                             f'{tuple(parameter.shape)}. Choose a language model with as many positions, or larger patches.')
        parameter.copy_(tensor)
    return parameters


def named_weights(module: nn.Module) -> Dict[str, Tensor]:
    """Parameters by name, and buffers: blocks that are held fast keep their weights there."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def loaded_names(module: nn.Module, names: Iterable[str], state_dict: Mapping[str, Tensor], prefix: str) -> List[str]:
    """Which of a module's weights a state dict fills; what the module itself has put there does not count.

    Args:
        module: The module.
        names: Names of the weights within it.
        state_dict: What is loaded.
        prefix: What the module's names begin with there.
    """
    weights = named_weights(module)
    found = ((name, state_dict.get(prefix + name), weights[name]) for name in names if name in weights)
    return [name for name, there, here in found
            if isinstance(there, Tensor) and there is not here and there.shape == here.shape]


def _cross_name(target: str) -> Optional[str]:
    if target.startswith('attn.'):
        return 'cross_' + target
    return target.replace('norm1', 'cross_norm') if target.startswith('norm1.') else None


def _fill(parameters: Mapping[str, nn.Parameter], target: str, stacked: List[Tensor], source: str) -> None:
    if target not in parameters:
        raise ValueError(f'tensor {source!r} is left over: the block has no parameter {target!r}. The block was built '
                         'from another spec than the weights have.')
    parameter = parameters[target]
    rows = sum(len(tensor) for tensor in stacked)
    if parameter.shape != (rows, *stacked[0].shape[1:]):
        raise ValueError(f'tensor {source!r} gives {target!r} the shape {(rows, *stacked[0].shape[1:])}; the block '
                         f'expects {tuple(parameter.shape)}. The block was built from another spec than the weights have.')
    start = 0
    for tensor in stacked:
        parameter[start:start + len(tensor)].copy_(tensor)
        start += len(tensor)
