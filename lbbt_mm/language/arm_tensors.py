"""The tensors of an arm: read, drawn, or made of those that were read."""
from dataclasses import replace
from typing import Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from lbbt_mm.random_state import derive_bytes
from .arms import ARMS
from .families import FAMILIES, block_tensors, model_tensors
from .checkpoint import LanguageCheckpoint
from .spec import LanguageModelSpec
from .weight_selection import WeightSelection


def read_arm_block(arm: str, spec: LanguageModelSpec, checkpoint: Optional[LanguageCheckpoint], index: int, seed: int,
                   selection: Optional[WeightSelection] = None) -> Dict[str, Tensor]:
    """Make the source tensors of one block for an arm.

    A tensor depends on (arm, checkpoint, seed, its name, selection) only, so two layers that copy the same block start
    equal. A selection comes before the arm: ``shuffled`` permutes the very entries that ``language`` copies, and
    ``random`` draws a model of the narrower width.

    Args:
        arm: One of :data:`~lbbt_mm.language.arms.ARMS`, none that leaves the host model's own start.
        spec: The language model; for an arm that is drawn, with the standard deviation to draw with
            (:meth:`lbbt_mm.language.options.LanguageOptions.drawn_spec`).
        checkpoint: Where the weights are; may be None for an arm that is drawn.
        index: Which block.
        seed: Seed of the arm.
        selection: Which part of the block to take; None for all of it.

    Returns:
        dict[str, Tensor]: The block's tensors by canonical checkpoint name, on the CPU.
    """
    if ARMS[arm].is_drawn:
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
        arm: One of :data:`~lbbt_mm.language.arms.ARMS`, none that leaves the host model's own start.
        spec: The language model; see :func:`read_arm_block`.
        checkpoint: Where the weights are; may be None for an arm that is drawn.
        part: ``final_norm`` or ``position_table``.
        seed: Seed of the arm.

    Returns:
        dict[str, Tensor]: The part's tensors by canonical checkpoint name, on the CPU.
    """
    if ARMS[arm].is_drawn:
        return _draw(spec, model_tensors(spec, part), seed)
    return _as_arm(arm, checkpoint.read_part(part), seed)


def _draw(spec: LanguageModelSpec, shapes: Mapping[str, Tuple[int, ...]], seed: int) -> Dict[str, Tensor]:
    draw = FAMILIES[spec.model_type].random_tensor
    return {name: draw(spec, name, shape, _generator(seed, name)) for name, shape in shapes.items()}


def _as_arm(arm: str, tensors: Dict[str, Tensor], seed: int) -> Dict[str, Tensor]:
    rewrite = ARMS[arm].rewrite
    return {name: rewrite(tensor, _generator(seed, name)) for name, tensor in tensors.items()} if rewrite else tensors


def _generator(seed: int, name: str) -> torch.Generator:
    """A generator of its own for each tensor: its draw does not depend on which other blocks are read."""
    return torch.Generator().manual_seed(int.from_bytes(derive_bytes(f'{seed}:{name}')[:8], 'little') >> 1)
