"""Attention on CPUs where torch's fused kernel is slow: with dropout, and in the backward pass of short bfloat16 sequences.

``tools/benchmarks/cpu_attention.py`` measures both against torch's.
"""
from typing import Optional

import torch
from torch import Tensor
from torch.autograd import Function

from .fast_dropout import keep_mask

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
    """
    if drop:
        return 'chunked'
    trains = q.requires_grad and torch.is_grad_enabled()
    short = q.shape[-2] * k.shape[-2] <= _MOST_SCORES
    return 'float32' if dtype == torch.bfloat16 and trains and short else 'fused'


def chunked_attention(q: Tensor, k: Tensor, v: Tensor, bias: Optional[Tensor], scale: float, drop: float) -> Tensor:
    """Attention with dropout that computes few enough heads at a time for their scores to stay in the cache.

    torch draws one 64-bit number for each weight, and writes out all scores; here four weights share one
    (:mod:`lbbt_mm.models.layers.fast_dropout`). Probabilities are float32.

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
    if bias is not None:
        bias = bias.expand(*q.shape[:2], q.shape[2], k.shape[2]).flatten(0, 1)
    out = _ChunkedAttention.apply(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), bias, drop, scale)
    return out.unflatten(0, q.shape[:2])


class _ChunkedAttention(Function):
    """Attention over ``(heads, N, D)``; the sign of each saved probability tells whether it was dropped."""

    @staticmethod
    def forward(ctx, q, k, v, bias, rate, scale):
        heads, num_q, num_k = q.shape[0], q.shape[1], k.shape[1]
        step = max(1, _CHUNK // (num_q * num_k))
        signed = q.new_empty(heads, num_q, num_k)
        out = v.new_empty(*q.shape[:2], v.shape[-1])
        q = q * scale
        for start in range(0, heads, step):
            part = slice(start, start + step)
            scores = torch.bmm(q[part], k[part].transpose(1, 2))
            if bias is not None:
                scores = scores + bias[part]
            probabilities = torch.softmax(scores.float(), dim=-1)
            dropped, ctx.factor = keep_mask(probabilities.shape, rate, invert=True, device=q.device)
            signed[part] = probabilities.copysign_(0.5 - dropped.view(torch.uint8))
            torch.bmm(signed[part].clamp(min=0), v[part], out=out[part])
        out.mul_(ctx.factor)
        ctx.save_for_backward(q, k, v, signed, out)
        ctx.scale, ctx.step = scale, step
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_out):
        q, k, v, signed, out = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        grad_bias = torch.empty_like(signed) if ctx.needs_input_grad[3] else None
        # sum over keys of dP * P equals dO * O, with dropout too (FlashAttention, arXiv 2205.14135, appendix B.4)
        row_sums = (grad_out.float() * out.float()).sum(-1, keepdim=True)
        grad_out = (grad_out * ctx.factor).to(v.dtype)
        with torch.autocast(q.device.type, enabled=False):
            for start in range(0, len(q), ctx.step):
                part = slice(start, start + ctx.step)
                torch.bmm(signed[part].clamp(min=0).transpose(1, 2), grad_out[part], out=grad_v[part])
                grad_weights = torch.bmm(grad_out[part], v[part].transpose(1, 2)).float()
                weights = signed[part].float()
                # zero where the weight was dropped; unlike masked_fill_, this kernel is vectorised
                grad_weights = torch.ops.aten.threshold_backward(grad_weights, weights, 0)
                grad_scores = grad_weights.sub_(row_sums[part]).mul_(weights.abs()).to(q.dtype)
                torch.bmm(grad_scores, k[part], out=grad_q[part])
                torch.bmm(grad_scores.transpose(1, 2), q[part], out=grad_k[part])
                if grad_bias is not None:
                    grad_bias[part] = grad_scores
        return grad_q.mul_(ctx.scale), grad_k, grad_v, grad_bias, None, None
