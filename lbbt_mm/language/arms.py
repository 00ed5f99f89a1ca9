"""The control arms: what a component starts from, so that "language helps" has something to be compared with."""
import hashlib
from dataclasses import replace
from typing import Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from .families import FAMILIES, block_tensors, model_tensors, random_tensor
from .source import LanguageCheckpoint
from .spec import LanguageModelSpec
from .weight_selection import WeightSelection

#: ``language`` copies the weights; ``host`` leaves the host model's own initialisation; ``random`` is the language
#: model's own random initialisation; ``shuffled`` permutes the entries of each tensor; ``moment_matched`` draws
#: a normal with each tensor's mean and standard deviation; ``random_tuned`` is ``random`` with a standard deviation that
#: somebody chose, the best of a sweep for example.
ARMS = ('language', 'host', 'random', 'shuffled', 'moment_matched', 'random_tuned')
#: The arms that are drawn from the language model's kind of initialisation.
DRAWN_ARMS = ('random', 'random_tuned')


def needs_weights(arm: str) -> bool:
    """Whether an arm is computed from the checkpoint's weights; ``host`` and those that are drawn are not."""
    return arm in ('language', 'shuffled', 'moment_matched')


def read_arm_block(arm: str, spec: LanguageModelSpec, checkpoint: Optional[LanguageCheckpoint], index: int, seed: int,
                   selection: Optional[WeightSelection] = None) -> Dict[str, Tensor]:
    """Make the source tensors of one block for an arm.

    A tensor depends on (arm, checkpoint, seed, its name, selection) only, so two layers that copy the same block start
    equal. A selection comes before the arm: ``shuffled`` permutes the very entries that ``language`` copies, and
    ``random`` draws a model of the narrower width.

    Args:
        arm: One of :data:`ARMS` except ``host``.
        spec: The language model; for an arm that is drawn, with the standard deviation to draw with
            (:meth:`lbbt_mm.language.options.LanguageOptions.drawn_spec`).
        checkpoint: Where the weights are; may be None for an arm that is drawn.
        index: Which block.
        seed: Seed of the arm.
        selection: Which part of the block to take; None for all of it.

    Returns:
        dict[str, Tensor]: The block's tensors by canonical checkpoint name, on the CPU.
    """
    if arm in DRAWN_ARMS:
        spec = replace(spec, block=selection.target) if selection else spec
        return _draw(spec, block_tensors(spec, index), seed)
    tensors = checkpoint.read_block(index)
    if selection:
        family = FAMILIES[spec.model_type]
        tensors = selection.select(family.rules(spec.block), tensors, family.block_prefix.format(i=index))
    return _as_arm(arm, tensors, seed)


def read_arm_part(arm: str, spec: LanguageModelSpec, checkpoint: Optional[LanguageCheckpoint], part: str,
                  seed: int) -> Dict[str, Tensor]:
    """Make the source tensors of a part outside the blocks for an arm.

    Args:
        arm: One of :data:`ARMS` except ``host``.
        spec: The language model; see :func:`read_arm_block`.
        checkpoint: Where the weights are; may be None for an arm that is drawn.
        part: ``final_norm`` or ``position_table``.
        seed: Seed of the arm.

    Returns:
        dict[str, Tensor]: The part's tensors by canonical checkpoint name, on the CPU.
    """
    if arm in DRAWN_ARMS:
        return _draw(spec, model_tensors(spec, part), seed)
    return _as_arm(arm, checkpoint.read_part(part), seed)


def _draw(spec: LanguageModelSpec, shapes: Mapping[str, Tuple[int, ...]], seed: int) -> Dict[str, Tensor]:
    return {name: random_tensor(spec, name, shape, _generator(seed, name)) for name, shape in shapes.items()}


def _as_arm(arm: str, tensors: Dict[str, Tensor], seed: int) -> Dict[str, Tensor]:
    if arm == 'language':
        return tensors
    rewrite = {'shuffled': _shuffle, 'moment_matched': _match_moments}[arm]
    return {name: rewrite(tensor, _generator(seed, name)) for name, tensor in tensors.items()}


def _shuffle(tensor: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.randperm(tensor.numel(), generator=generator)
    return tensor.flatten()[order].view(tensor.shape)


def _match_moments(tensor: Tensor, generator: torch.Generator) -> Tensor:
    values = tensor.float()
    std, mean = torch.std_mean(values, correction=0)
    return torch.randn(values.shape, generator=generator) * std + mean


def _generator(seed: int, name: str) -> torch.Generator:
    """A generator of its own for each tensor: its draw does not depend on which other blocks are read."""
    digest = hashlib.sha256(f'{seed}:{name}'.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], 'little') >> 1)
