"""The one door to attention: every kernel behind one signature and one rule for masks."""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lbbt_mm.argument_checks import check_choice
from .cpu_attention import chunked_attention, quickest_on_cpu

#: ``auto`` takes the quickest, ``fused`` is torch's, ``float32`` the same in float32; ``chunked`` computes a few heads at a
#: time and has cheap dropout on CPUs; ``math`` is the written-out formula, which can be differentiated any number of times.
KERNELS = ('auto', 'fused', 'float32', 'chunked', 'math')


def attend(q: Tensor,
           k: Tensor,
           v: Tensor,
           mask: Optional[Tensor] = None,
           bias: Optional[Tensor] = None,
           causal: bool = False,
           scale: Optional[float] = None,
           drop: float = 0.,
           kernel: str = 'auto') -> Tensor:
    """Scaled dot-product attention, ``softmax(scale * q k^T + bias) v`` (arXiv 1706.03762, section 3.2.1).

    A query that may look nowhere gives zeros. Below float32, all kernels but ``fused`` compute in float32 and round the
    result.

    Args:
        q: Queries ``(B, heads, N, D)``.
        k: Keys ``(B, kv_heads, M, D)``; each serves ``heads / kv_heads`` neighbouring query heads.
        v: Values ``(B, kv_heads, M, D)``.
        mask: Boolean, broadcastable to ``(B, heads, N, M)``, True where attending is allowed. Defaults to None, everywhere.
        bias: Added to the logits, broadcastable to ``(B, heads, N, M)``; minus infinity forbids too. Defaults to None.
        causal: Whether query ``i`` sees keys up to ``i`` only, of those that ``mask`` allows. Defaults to False.
        scale: Factor on the products. Defaults to None, ``D ** -0.5``.
        drop: Dropout rate of the attention weights. Defaults to 0.
        kernel: One of :data:`KERNELS`. Defaults to ``auto``.

    Returns:
        Tensor: ``(B, heads, N, D)``, of the queries' type or, under autocast, its type.

    Raises:
        ValueError: If there is no such kernel.
    """
    check_choice('kernel', kernel, KERNELS)
    device = q.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else q.dtype
    if kernel == 'auto':
        kernel = quickest_on_cpu(q, k, dtype, drop) if device == 'cpu' else 'fused'
    if kernel == 'fused':
        return _fused(q, k, v, mask, bias, causal, scale, drop)
    q, k, v = (part.to(dtype) for part in (q, k, v))
    if dtype.itemsize < 4:
        q, k, v = q.float(), k.float(), v.float()
    with torch.autocast(device, enabled=False):  # it would cast to the lower precision again
        if kernel == 'float32':
            return _fused(q, k, v, mask, bias, causal, scale, drop).to(dtype)
        if k.shape[1] != q.shape[1]:
            k, v = (part.repeat_interleave(q.shape[1] // part.shape[1], dim=1) for part in (k, v))
        bias, blind = _open_bias(_where_to_look(q, k, mask, bias, causal))
        out = (chunked_attention if kernel == 'chunked' else _math)(
            q, k, v, bias, q.shape[-1]**-0.5 if scale is None else scale, drop)
    if blind is None or kernel == 'chunked' and not blind.any():  # a look at the values, which `vmap` forbids, saves a copy
        return out.to(dtype)
    return out.masked_fill(blind, 0.).to(dtype)


def _fused(q, k, v, mask, bias, causal, scale, drop) -> Tensor:
    if mask is not None or bias is not None:  # torch takes a mask or the causal order, not both
        mask, causal = _where_to_look(q, k, mask, bias, causal), False
    grouped = bool(q.shape[1] != k.shape[1])  # a tensor while a model is traced
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=drop, is_causal=causal, scale=scale,
                                          enable_gqa=grouped)


def _math(q, k, v, bias, scale, drop) -> Tensor:
    scores = q @ k.transpose(-1, -2) * scale
    weights = (scores if bias is None else scores + bias).softmax(-1)
    return F.dropout(weights, drop) @ v


def _where_to_look(q, k, mask, bias, causal) -> Optional[Tensor]:
    """Mask, bias and order in one: boolean or, with a bias, what is added to the logits; None where all is allowed."""
    if causal:
        triangle = q.new_ones((q.shape[-2], k.shape[-2]), dtype=torch.bool).tril()
        mask = triangle if mask is None else mask & triangle
    if bias is None:
        return mask
    bias = bias.to(q.dtype)
    return bias if mask is None else bias.masked_fill(~mask, float('-inf'))


def _open_bias(where: Optional[Tensor]) -> Tuple[Optional[Tensor], Optional[Tensor]]:
    """What is added to the logits, and the queries ``(..., N, 1)`` that may look nowhere.

    For these it is 0, since a softmax of nothing is NaN, in the backward pass too.
    """
    if where is None:
        return None, None
    allowed = where if where.dtype == torch.bool else where > float('-inf')
    blind = ~allowed.any(-1, keepdim=True)
    if where.dtype == torch.bool:
        where = torch.zeros_like(where, dtype=torch.float32).masked_fill_(~(where | blind), float('-inf'))
        return where, blind
    return where.masked_fill(blind, 0.), blind
