"""Dropout for CPUs: the same distribution as torch's, with a random-number cost that is a fraction of it.

torch draws one 64-bit random number for each element of a mask on the CPU; four elements can share one, at a rate
rounded to 1/65536. Other devices use torch's own kernel.
"""
from typing import Any, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

_LEVELS = 1 << 16


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
        kept, ctx.factor = keep_mask(x.shape, rate, device=x.device)
        kept = kept.view(torch.uint8)  # a product with bytes is vectorised, one with booleans is not
        ctx.save_for_backward(kept)
        return (x * kept).mul_(ctx.factor)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return (grad * ctx.saved_tensors[0]).mul_(ctx.factor), None


def keep_mask(shape: torch.Size, rate: float, invert: bool = False, device: Any = 'cpu') -> Tuple[Tensor, float]:
    """Draw what dropout keeps.

    Args:
        shape: Shape of what is dropped from.
        rate: Dropout rate.
        invert: Whether to mark what is dropped instead.
        device: Where the mask is needed.

    Returns:
        tuple[Tensor, float]: Boolean mask, and the factor on what is kept that keeps the mean.
    """
    count = shape.numel()
    threshold = min(round(rate * _LEVELS), _LEVELS - 1)
    bits = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-2**63, None)
    bits = bits.view(torch.int16)[:count].view(shape)
    # comparing in place, in int16, is vectorised; comparing into a boolean tensor is not
    mask = bits.lt_(threshold - _LEVELS // 2) if invert else bits.ge_(threshold - _LEVELS // 2)
    return mask.to(torch.uint8).view(torch.bool), _LEVELS / (_LEVELS - threshold)
