"""Resizing a learned position table for another image size (ViT, arXiv 2010.11929, section 3.2)."""
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_position_table(table: Tensor, source: Tuple[int, int], target: Tuple[int, int], mode: str = 'bicubic',
                          num_extra_tokens: int = 0) -> Tensor:
    """Resize the patches' part of a table; what belongs to extra tokens stays.

    Args:
        table: Positions ``(1, extra + H * W, C)``.
        source: Patches ``(H, W)`` that the table is for.
        target: Patches wanted.
        mode: Mode of :func:`torch.nn.functional.interpolate`.
        num_extra_tokens: How many tokens stand before the patches.

    Returns:
        Tensor: ``(1, extra + target H * target W, C)``; ``table`` itself where the sizes are equal.
    """
    if source == target:
        return table
    extra, patches = table[:, :num_extra_tokens], table[:, num_extra_tokens:]
    grid = patches.transpose(1, 2).unflatten(2, source).float()  # bicubic knows float32 only
    smooth = {} if mode == 'nearest' else dict(align_corners=False)
    resized = F.interpolate(grid, size=target, mode=mode, **smooth).flatten(2).transpose(1, 2)
    return torch.cat((extra, resized.to(table.dtype)), dim=1)
