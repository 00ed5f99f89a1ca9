"""Attention for short sequences in bfloat16 training on CPUs, where the fused kernel's backward pass is slow.

torch's CPU flash kernel takes several times as long for the backward pass of a few hundred bfloat16 tokens as three plain
matrix products do; ``tools/benchmarks/short_attention.py`` measures both.
"""
from typing import Optional

import torch
from torch import Tensor

# Largest score matrix (queries x keys of one head) for which the plain products were faster.
_MOST_SCORES = 1 << 17


def is_short_bf16_training(q: Tensor, k: Tensor) -> bool:
    """Whether :func:`short_attention` is the faster way for queries ``(..., N, D)`` and keys ``(..., M, D)``."""
    return (q.device.type == 'cpu' and q.dtype == torch.bfloat16 and q.requires_grad and torch.is_grad_enabled()
            and q.shape[-2] * k.shape[-2] <= _MOST_SCORES)


def short_attention(q: Tensor, k: Tensor, v: Tensor, mask: Optional[Tensor], causal: bool,
                    scale: Optional[float]) -> Tensor:
    """Scaled dot-product attention as three plain operations.

    Args:
        q: Queries ``(B, heads, N, D)``.
        k: Keys ``(B, kv_heads, M, D)``; each serves ``heads / kv_heads`` query heads.
        v: Values ``(B, kv_heads, M, D)``.
        mask: Boolean, broadcastable to ``(B, 1, N, M)``, True where attending is allowed.
        causal: Whether query ``i`` sees keys up to ``i`` only.
        scale: Factor on the logits; None is ``D ** -0.5``.

    Returns:
        Tensor: ``(B, heads, N, D)``.
    """
    scale = q.shape[-1]**-0.5 if scale is None else scale
    groups = q.shape[1] // k.shape[1]
    # the queries of one key/value head side by side: one product instead of repeated keys
    grouped = (q * scale).unflatten(1, (-1, groups)).flatten(2, 3)
    scores = (grouped @ k.transpose(-1, -2)).unflatten(2, (groups, -1))
    if causal:
        triangle = q.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
        mask = triangle if mask is None else mask & triangle
    if mask is not None:
        # (B, 1, N, M) beside the scores' (B, kv_heads, groups, N, M)
        scores = scores.masked_fill(~(mask.unsqueeze(1) if mask.ndim == 4 else mask), torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    if mask is not None:  # a query that may look nowhere gets zeros, as from torch's kernel
        visible = mask.any(-1, keepdim=True)
        weights = weights * (visible.unsqueeze(1) if mask.ndim == 4 else visible)
    weights = weights.flatten(2, 3)
    return (weights @ v).unflatten(2, (groups, -1)).flatten(1, 2)
