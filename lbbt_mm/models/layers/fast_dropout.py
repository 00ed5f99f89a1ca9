"""Dropout for CPUs: the same distribution as torch's, with a random-number cost that is a fraction of it.

torch draws one 64-bit random number for each element of a mask on the CPU; four elements can share one, at a rate
rounded to 1/65536. Other devices use torch's own kernel.
"""
from typing import Any, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """``nn.Dropout`` with cheaper random numbers on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of ``x`` at rate ``p`` and scale the rest, in training mode."""
        if not self.training or not 0 < self.p < 1 or x.device.type != 'cpu':
            return F.dropout(x, self.p, self.training, self.inplace)
        return dropout(x, self.p)


def dropout(x: Tensor, rate: float) -> Tensor:
    """Drop elements and scale the rest, so that the mean stays.

    Args:
        x: What is dropped from, of any shape.
        rate: Dropout rate, above 0 and below 1.

    Returns:
        Tensor: Of the same shape and type.
    """
    kept, factor = keep_mask(x.shape, rate, x.device)
    return (x * kept).mul_(factor)


def keep_mask(shape: torch.Size, rate: float, device: Any = 'cpu') -> Tuple[Tensor, float]:
    """Draw what dropout keeps.

    Args:
        shape: Shape of what is dropped from.
        rate: Dropout rate.
        device: Where the mask is needed.

    Returns:
        tuple[Tensor, float]: Mask of zeros and ones, and the factor on what is kept that keeps the mean.
    """
    count = shape.numel()
    threshold = min(round(rate * _LEVELS), _LEVELS - 1)
    bits = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-2**63, None)
    bits = bits.view(torch.int16)[:count].view(shape)
    # comparing in place, in int16, is vectorised, and so is a product with bytes; with a boolean tensor neither is
    return bits.ge_(threshold - _LEVELS // 2).to(torch.uint8), _LEVELS / (_LEVELS - threshold)
