"""Frequencies of rotary position embedding (RoFormer, arXiv 2104.09864) under every rule that models are trained with."""
from typing import Tuple

import torch
from huggingface_hub import errors
from torch import Tensor

from .spec import RotarySpec

#: What transformers and its validators raise over fields that are absent, of the wrong kind, or contradict each other.
TRANSFORMERS_ERRORS = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError,
                       getattr(errors, 'StrictDataclassError', ValueError))
#: GGUF's way to say the rule ``llama3``: a tensor of divisors, one for each frequency.
FREQUENCY_FACTORS = 'frequency_factors'
#: Longest context of a model that states none.
_CONTEXT = 2048
#: Rules that give other frequencies to sequences that are longer than the trained context.
BY_LENGTH = ('dynamic', 'longrope')


def inverse_frequencies(rotary: RotarySpec, head_dims: int, num_heads: int = 1) -> Tuple[Tensor, float]:
    """Frequencies of the rotation, in radians a position.

    Args:
        rotary: The rule.
        head_dims: Channels per head.
        num_heads: Query heads.

    Returns:
        tuple[Tensor, float]: Frequencies ``(head_dims / 2, )``, and a factor on cosines and sines.

    Raises:
        ValueError: If the rule is not known, or lacks a field.
    """
    plain = rotary.rope_type in ('default', FREQUENCY_FACTORS)
    frequencies, scaling = (_plain(rotary, head_dims), 1.) if plain else _stretched(rotary, head_dims, num_heads)
    if frequencies.shape != (head_dims // 2, ) or not ((frequencies > 0) & torch.isfinite(frequencies)).all():
        raise ValueError(f'rope_theta={rotary.theta!r:.40} and rope_scaling of type {rotary.rope_type!r} do not give '
                         f'{head_dims // 2} finite frequencies above 0; found {dict(rotary.parameters)!r:.300}')
    return frequencies, float(scaling)


def _plain(rotary: RotarySpec, head_dims: int) -> Tensor:
    """A geometric sequence, which a file's factors may divide."""
    frequencies = rotary.theta**-(torch.arange(0, head_dims, 2, dtype=torch.float32, device='cpu') / head_dims)
    if rotary.rope_type != FREQUENCY_FACTORS:
        return frequencies
    factors = torch.tensor(rotary.parameters['factors'], dtype=torch.float32, device='cpu')
    if factors.shape != frequencies.shape:
        raise ValueError(f'rope_freqs.weight has {len(factors)} factors; expected {len(frequencies)} numbers above 0')
    return frequencies / factors


def _stretched(rotary: RotarySpec, head_dims: int, num_heads: int) -> Tuple[Tensor, float]:
    """The rules that stretch a trained context are transformers' own; they take a config object."""
    from transformers import PretrainedConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    if rotary.rope_type not in ROPE_INIT_FUNCTIONS:
        raise ValueError(f'rope_type={rotary.rope_type!r} is not known to transformers; expected default or one of '
                         f'{", ".join(ROPE_INIT_FUNCTIONS)}')
    rule = {**rotary.parameters, 'rope_type': rotary.rope_type, 'rope_theta': rotary.theta}
    try:
        config = PretrainedConfig()
        # as attributes: transformers 5 puts keywords under other names
        vars(config).update(
            hidden_size=num_heads * head_dims, num_attention_heads=num_heads, head_dim=head_dims, rope_theta=rotary.theta,
            max_position_embeddings=_CONTEXT if rotary.max_positions is None else rotary.max_positions, rope_scaling=rule,
            rope_parameters=rule)  # of transformers 5
        with torch.device('cpu'):  # models are built on the meta device too
            return ROPE_INIT_FUNCTIONS[rotary.rope_type](config, device='cpu')
    except TRANSFORMERS_ERRORS as error:
        raise ValueError(f'rope_scaling of type {rotary.rope_type!r} cannot be used ({type(error).__name__}: {error}); '
                         f'found {dict(rotary.parameters)}') from None


def same_function(ours: RotarySpec, theirs: RotarySpec, head_dims: int, num_heads: int) -> bool:
    """Whether two rules rotate alike, up to the rounding of files that keep numbers as float32.

    Rules that go by length are compared within the trained context; beyond it they are refused.
    """
    kinds = {ours.rope_type, theirs.rope_type}
    if kinds & {*BY_LENGTH} and len(kinds) > 1:
        return False  # they part beyond the trained context, where only one of them is refused
    # whether yarn goes by it depends on the version of transformers
    if kinds & {'yarn', *BY_LENGTH} and ours.max_positions != theirs.max_positions:
        return False
    (first, scale), (second, other) = (inverse_frequencies(rule, head_dims, num_heads) for rule in (ours, theirs))
    return torch.allclose(first, second, rtol=1e-5, atol=0) and abs(scale - other) <= 1e-5 * abs(other)
