"""Attention on CPUs where torch's fused kernel is slow: with dropout, and in the backward pass of short bfloat16 sequences.

``tools/benchmarks/cpu_attention.py`` measures both against torch's.
"""
from itertools import repeat
from typing import Optional

import torch
from torch import Tensor

from .fast_dropout import dropout

# Largest score matrix (queries x keys of one head) for which float32 was as fast as bfloat16.
_MOST_SCORES = 1 << 17
# Elements of the score matrices that are computed at once: what fits a core's cache in float32.
_CHUNK = 1 << 20


def quickest_on_cpu(q: Tensor, k: Tensor, dtype: torch.dtype, drop: float) -> str:
    """The quickest of :data:`lbbt_mm.models.layers.attention.KERNELS` on a CPU.

    Args:
        q: Queries ``(..., N, D)``.
        k: Keys ``(..., M, D)``.
        dtype: Type that torch would compute in.
        drop: Dropout rate of the attention weights.

    Returns:
        str: Its name.
    """
    if drop:
        return 'chunked'
    trains = q.requires_grad and torch.is_grad_enabled()
    short = q.shape[-2] * k.shape[-2] <= _MOST_SCORES
    return 'float32' if dtype == torch.bfloat16 and trains and short else 'fused'


def chunked_attention(q: Tensor, k: Tensor, v: Tensor, bias: Optional[Tensor], scale: float, drop: float) -> Tensor:
    """Attention with dropout that computes few enough heads at a time for their scores to stay in the cache.

    torch draws one 64-bit number for each weight, and writes out all scores; here four weights share one
    (:mod:`lbbt_mm.models.layers.fast_dropout`).

    Args:
        q: Queries ``(B, heads, N, D)``.
        k: Keys ``(B, heads, M, D)``.
        v: Values ``(B, heads, M, D)``.
        bias: Added to the logits, broadcastable to ``(B, heads, N, M)``, no row of it all minus infinity; or None.
        scale: Factor on the products.
        drop: Dropout rate of the attention weights.

    Returns:
        Tensor: ``(B, heads, N, D)``.
    """
    step = max(1, _CHUNK // (q.shape[2] * k.shape[2]))
    if bias is not None:
        bias = bias.expand(*q.shape[:2], q.shape[2], k.shape[2])
    parts = zip(*(repeat(None) if part is None else part.flatten(0, 1).split(step) for part in (q, k, v, bias)))
    return torch.cat([_attend_heads(*part, scale, drop) for part in parts]).unflatten(0, q.shape[:2])


def _attend_heads(q: Tensor, k: Tensor, v: Tensor, bias: Optional[Tensor], scale: float, drop: float) -> Tensor:
    scores = (q * scale) @ k.transpose(1, 2)
    weights = (scores if bias is None else scores + bias).softmax(-1)
    return (dropout(weights, drop) if drop else weights) @ v
