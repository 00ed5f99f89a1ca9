"""The tensors of an arm: read, drawn, or made of those that were read."""
from dataclasses import replace
from typing import Dict, Optional, Union

import torch
from torch import Tensor

from lbbt_mm.random_state import derive_seed
from .arms import ARMS
from .families import FAMILIES, block_tensors
from .checkpoint import LanguageCheckpoint
from .spec import LanguageModelSpec
from .weight_selection import WeightSelection


def read_arm_block(arm: str, spec: LanguageModelSpec, checkpoint: Optional[LanguageCheckpoint], part: Union[int, str],
                   seed: int, selection: Optional[WeightSelection] = None) -> Dict[str, Tensor]:
    """Make the source tensors of one block, or of another part, for an arm.

    A tensor depends on (arm, checkpoint, seed, its name, selection) only, so two layers that copy the same block start
    equal. A selection comes before the arm: ``shuffled`` permutes the very entries that ``language`` copies, and
    ``random`` draws a model of the narrower width.

    Args:
        arm: One of :data:`~lbbt_mm.language.arms.ARMS`, none that leaves the host model's own start.
        spec: The language model; for an arm that is drawn, with the standard deviation to draw with
            (:meth:`lbbt_mm.language.options.LanguageOptions.drawn_spec`).
        checkpoint: Where the weights are; may be None for an arm that is drawn.
        part: Index of a block; or ``final_norm`` or ``position_table``.
        seed: Seed of the arm.
        selection: Which part of a block to take; None for all of it.

    Returns:
        dict[str, Tensor]: The tensors by canonical checkpoint name, on the CPU.
    """
    family, rewrite = FAMILIES[spec.model_type], ARMS[arm].rewrite
    if ARMS[arm].is_drawn:
        spec = replace(spec, block=selection.target) if selection else spec
        return {name: family.random_tensor(spec, name, shape, _generator(seed, name))
                for name, shape in block_tensors(spec, part).items()}
    tensors = checkpoint.read_block(part)
    if selection:
        tensors = selection.select(family.rules(spec.block), tensors, family.block_prefix.format(i=part))
    return {name: rewrite(tensor, _generator(seed, name)) for name, tensor in tensors.items()} if rewrite else tensors


def _generator(seed: int, name: str) -> torch.Generator:
    """A generator of its own for each tensor: its draw does not depend on which other blocks are read."""
    return torch.Generator().manual_seed(derive_seed(f'{seed}:{name}', bits=63))
