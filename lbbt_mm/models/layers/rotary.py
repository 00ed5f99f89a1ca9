"""Rotary position embedding (RoFormer, arXiv 2104.09864) as Hugging Face applies it."""
from typing import Tuple

import torch
from torch import Tensor, nn

from lbbt_mm.language.rotary import BY_LENGTH, inverse_frequencies
from lbbt_mm.language.spec import BlockSpec

RotaryTable = Tuple[Tensor, Tensor]


class RotaryEmbedding(nn.Module):
    """Makes the cosines and sines that a language model's blocks rotate queries and keys with.

    One table serves all blocks of a model: build it once per forward.

    Args:
        spec: A block's spec, with ``rotary`` set.

    Raises:
        ValueError: If the language model has no rotary positions.
    """

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        if spec.rotary is None:
            raise ValueError('this language model has no rotary positions (it learns a table); expected a family that has '
                             'them. Use learned positions, or another language model.')
        frequencies, self.attention_scaling = inverse_frequencies(spec.rotary, spec.head_dims, spec.num_heads)
        self.rope_type = spec.rotary.rope_type
        trained = spec.rotary.parameters.get('original_max_position_embeddings') or spec.rotary.max_positions
        self.longest = trained if self.rope_type in BY_LENGTH else None
        self.register_buffer('frequencies', frequencies, persistent=False)

    def forward(self, positions: Tensor, dtype: torch.dtype = torch.float32) -> RotaryTable:
        """Make the table.

        Args:
            positions: Whole or fractional positions ``(N, )`` or ``(B, N)``.
            dtype: Type of the result.

        Returns:
            tuple[Tensor, Tensor]: Cosines and sines, ``(1 or B, 1, N, head_dims)``.

        Raises:
            ValueError: If a position lies beyond the trained context, and the model's rule goes by the sequence's length.
        """
        if self.longest is not None and positions.max() >= self.longest:
            raise ValueError(f'rope_type={self.rope_type!r} turns by other frequencies from position {self.longest} on, and '
                             f'this sequence has {int(positions.max())}; expected shorter ones. Use fewer tokens.')
        angles = positions.float()[..., None] * self.frequencies.float()
        angles = torch.cat((angles, angles), dim=-1)
        angles = angles[None, None] if positions.ndim == 1 else angles[:, None]
        return (angles.cos() * self.attention_scaling).to(dtype), (angles.sin() * self.attention_scaling).to(dtype)


def rotate(x: Tensor, table: RotaryTable) -> Tensor:
    """Rotate ``(B, heads, N, head_dims)`` by a table of :class:`RotaryEmbedding`."""
    cos, sin = table
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)
