"""Rotary position embedding (RoFormer, arXiv 2104.09864) as Hugging Face's Llama family applies it."""
from typing import Tuple

import torch
from torch import Tensor, nn

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
            raise ValueError('this language model has no rotary positions (GPT-2 learns a table); expected a Llama-like '
                             'family. Use learned positions, or another language model.')
        frequencies, self.attention_scaling = _inverse_frequencies(spec)
        self.register_buffer('frequencies', frequencies, persistent=False)

    def forward(self, positions: Tensor, dtype: torch.dtype = torch.float32) -> RotaryTable:
        """Make the table.

        Args:
            positions: Whole or fractional positions ``(N, )`` or ``(B, N)``.
            dtype: Type of the result.

        Returns:
            tuple[Tensor, Tensor]: Cosines and sines, ``(1 or B, 1, N, head_dims)``.
        """
        angles = positions.float()[..., None] * self.frequencies.float()
        angles = torch.cat((angles, angles), dim=-1)
        angles = angles[None, None] if positions.ndim == 1 else angles[:, None]
        return (angles.cos() * self.attention_scaling).to(dtype), (angles.sin() * self.attention_scaling).to(dtype)


def rotate(x: Tensor, table: RotaryTable) -> Tensor:
    """Rotate ``(B, heads, N, head_dims)`` by a table of :class:`RotaryEmbedding`."""
    cos, sin = table
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def _inverse_frequencies(spec: BlockSpec) -> Tuple[Tensor, float]:
    rotary = spec.rotary
    if rotary.rope_type == 'default':
        exponents = torch.arange(0, spec.head_dims, 2, dtype=torch.float32) / spec.head_dims
        return rotary.theta**-exponents, 1.0
    # The rules that stretch a trained context are transformers' own; they take a config object.
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    if rotary.rope_type not in ROPE_INIT_FUNCTIONS:
        raise ValueError(f'rope_type={rotary.rope_type!r} is not known to transformers; expected default or one of '
                         f'{", ".join(ROPE_INIT_FUNCTIONS)}.')
    parameters = {'rope_type': rotary.rope_type, **rotary.parameters}
    config = LlamaConfig(
        hidden_size=spec.num_heads * spec.head_dims,
        num_attention_heads=spec.num_heads,
        head_dim=spec.head_dims,
        rope_theta=rotary.theta,
        rope_scaling=parameters,
        **({} if rotary.max_positions is None else {'max_position_embeddings': rotary.max_positions}))
    if getattr(config, 'rope_parameters', None):  # transformers 5
        config.rope_parameters['rope_theta'] = rotary.theta
    return ROPE_INIT_FUNCTIONS[rotary.rope_type](config, device=None)
