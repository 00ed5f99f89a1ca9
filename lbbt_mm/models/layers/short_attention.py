"""Attention for short sequences in bfloat16 training on CPUs, where torch's bfloat16 kernel is slow in the backward pass.

torch's fused kernel takes as long or less in float32 there, and is more exact; ``tools/benchmarks/short_attention.py``
measures both.
"""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

# Largest score matrix (queries x keys of one head) for which float32 was as fast.
_MOST_SCORES = 1 << 17


def is_short_bf16_training(q: Tensor, k: Tensor) -> bool:
    """Whether :func:`short_attention` is the faster way for queries ``(..., N, D)`` and keys ``(..., M, D)``."""
    return (q.device.type == 'cpu' and q.dtype == torch.bfloat16 and q.requires_grad and torch.is_grad_enabled()
            and q.shape[-2] * k.shape[-2] <= _MOST_SCORES)


def short_attention(q: Tensor, k: Tensor, v: Tensor, mask: Optional[Tensor], causal: bool,
                    scale: Optional[float]) -> Tensor:
    """Scaled dot-product attention by torch's fused kernel in float32, the result in the type of the queries.

    Args:
        q: Queries ``(B, heads, N, D)``.
        k: Keys ``(B, kv_heads, M, D)``; each serves ``heads / kv_heads`` query heads.
        v: Values ``(B, kv_heads, M, D)``.
        mask: Boolean, broadcastable to ``(B, 1, N, M)``, True where attending is allowed; not together with ``causal``.
        causal: Whether query ``i`` sees keys up to ``i`` only.
        scale: Factor on the logits; None is ``D ** -0.5``.

    Returns:
        Tensor: ``(B, heads, N, D)``.
    """
    with torch.autocast('cpu', enabled=False):  # it would cast to bfloat16 again
        out = F.scaled_dot_product_attention(
            q.float(), k.float(), v.float(), attn_mask=mask, is_causal=causal, scale=scale,
            enable_gqa=q.shape[1] != k.shape[1])
    return out.to(q.dtype)
