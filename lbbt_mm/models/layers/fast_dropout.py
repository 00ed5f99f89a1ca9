"""Dropout for CPUs: the same distribution as torch's, with a random-number cost that is a fraction of it.

torch draws one 64-bit random number for each element of a mask on the CPU; four elements can share one, at a rate
rounded to 1/65536. Attention dropout also sends scaled_dot_product_attention to its slowest kernel there; here it is
computed head by head, so that the scores of a head stay in the cache. Other devices use torch's own kernels.
"""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

_LEVELS = 1 << 16
# Elements of the score matrices that are computed at once: what fits a core's cache in float32.
_CHUNK = 1 << 20


class Dropout(nn.Dropout):
    """``nn.Dropout`` with cheaper random numbers on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of ``x`` at rate ``p`` and scale the rest, in training mode."""
        if not self.training or not 0 < self.p < 1 or x.device.type != 'cpu':
            return F.dropout(x, self.p, self.training, self.inplace)
        return _Dropout.apply(x, self.p)


class _Dropout(Function):

    @staticmethod
    def forward(ctx, x: Tensor, rate: float) -> Tensor:
        kept, ctx.factor = _keep_mask(x.shape, rate)
        kept = kept.view(torch.uint8)  # a product with bytes is vectorised, one with booleans is not
        ctx.save_for_backward(kept)
        return (x * kept).mul_(ctx.factor)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return (grad * ctx.saved_tensors[0]).mul_(ctx.factor), None


def attention_with_dropout(q: Tensor,
                           k: Tensor,
                           v: Tensor,
                           mask: Optional[Tensor],
                           rate: float,
                           causal: bool = False,
                           scale: Optional[float] = None) -> Tensor:
    """Scaled dot-product attention with dropout of the attention weights, on the CPU.

    Args:
        q: Queries ``(B, heads, N, D)``.
        k: Keys ``(B, kv_heads, M, D)``.
        v: Values ``(B, kv_heads, M, D)``.
        mask: Boolean, broadcastable to ``(B, heads, N, M)``, True where attending is allowed.
        rate: Dropout rate.
        causal: Whether query ``i`` sees keys up to ``i`` only.
        scale: Factor on the logits. Defaults to ``D ** -0.5``.

    Returns:
        Tensor: ``(B, heads, N, D)``.
    """
    result_dtype = torch.get_autocast_dtype('cpu') if torch.is_autocast_enabled('cpu') else q.dtype
    # torch's kernel with dropout computes in float32 too: logits in bfloat16 would be off by a few per cent
    q, k, v = (part.to(result_dtype).float() if result_dtype.itemsize < 4 else part.to(result_dtype) for part in (q, k, v))
    if k.shape[1] != q.shape[1]:
        k, v = (part.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for part in (k, v))
    if causal:
        triangle = q.new_ones((q.shape[-2], k.shape[-2]), dtype=bool).tril()
        mask = triangle if mask is None else mask & triangle
    bias = blind = None
    if mask is not None:
        # A query that may look nowhere gets zeros, as from scaled_dot_product_attention; its softmax would be NaN.
        blind = ~mask.any(-1, keepdim=True)
        mask = mask | blind
        bias = torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, float('-inf'))
        bias = bias.expand(q.shape[0], q.shape[1], *bias.shape[-2:]).flatten(0, 1)
    out = _DropoutAttention.apply(
        q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), bias, rate, q.shape[-1]**-0.5 if scale is None else scale)
    out = out.unflatten(0, q.shape[:2]).to(result_dtype)
    return out if blind is None or not blind.any() else out.masked_fill(blind, 0.)


class _DropoutAttention(Function):
    """Attention over ``(heads, N, D)``; the sign of each saved probability tells whether it was dropped."""

    @staticmethod
    def forward(ctx, q, k, v, bias, rate, scale):
        heads, num_q, num_k = q.shape[0], q.shape[1], k.shape[1]
        step = max(1, _CHUNK // (num_q * num_k))
        signed = q.new_empty(heads, num_q, num_k)
        out = torch.empty(*q.shape[:2], v.shape[-1], dtype=v.dtype)
        with torch.autocast('cpu', enabled=False):
            q = q * scale
            for part in torch.arange(heads).split(step):
                part = slice(int(part[0]), int(part[-1]) + 1)
                scores = torch.bmm(q[part], k[part].transpose(1, 2))
                if bias is not None:
                    scores = scores + bias[part]
                probabilities = torch.softmax(scores.float(), dim=-1)
                dropped, ctx.factor = _keep_mask(probabilities.shape, rate, invert=True)
                signed[part] = probabilities.copysign_(0.5 - dropped.view(torch.uint8))
                torch.bmm(signed[part].clamp(min=0), v[part], out=out[part])
            out.mul_(ctx.factor)
        ctx.save_for_backward(q, k, v, signed, out)
        ctx.scale, ctx.step = scale, step
        return out

    @staticmethod
    @torch.autocast('cpu', enabled=False)
    def backward(ctx, grad_out):
        q, k, v, signed, out = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        # sum over keys of dP * P equals dO * O, with dropout too (FlashAttention, arXiv 2205.14135, appendix B.4)
        row_sums = (grad_out.float() * out.float()).sum(-1, keepdim=True)
        grad_out = (grad_out * ctx.factor).to(v.dtype)
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
        return grad_q.mul_(ctx.scale), grad_k, grad_v, None, None, None


def _keep_mask(shape, rate: float, invert: bool = False):
    """Boolean mask of kept (or, inverted, dropped) elements, and the factor that keeps the mean."""
    count = shape.numel()
    threshold = min(round(rate * _LEVELS), _LEVELS - 1)
    bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-2**63, None).view(torch.int16)[:count].view(shape)
    # comparing in place, in int16, is vectorised; comparing into a boolean tensor is not
    mask = bits.lt_(threshold - _LEVELS // 2) if invert else bits.ge_(threshold - _LEVELS // 2)
    return mask.to(torch.uint8).view(torch.bool), _LEVELS / (_LEVELS - threshold)
