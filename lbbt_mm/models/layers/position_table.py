"""Resizing a learned position table for another image size (ViT, arXiv 2010.11929, section 3.2)."""
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
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


def fit_position_table(table: Tensor, noted: Optional[Sequence[int]], target: Tuple[int, int], mode: str = 'bicubic',
                       num_extra_tokens: int = 0) -> Tensor:
    """Resize a table from a checkpoint, and log it, where it is known for which grid of patches it was.

    Args:
        table: Positions ``(1, extra + H * W, C)``.
        noted: Patches ``(H, W)`` that the checkpoint speaks of, or None. Where they are not the table's, it is taken to be
            for ``target`` or else for a square.
        target: Patches wanted.
        mode: See :func:`resize_position_table`.
        num_extra_tokens: How many tokens stand before the patches.

    Returns:
        Tensor: ``(1, extra + target H * target W, C)``; ``table`` itself where its grid is not known, so that the loader's
        own message says that the shapes differ.
    """
    count = table.shape[1] - num_extra_tokens
    side = round(max(count, 0)**0.5)
    source = next((tuple(grid) for grid in (noted, target, (side, side)) if grid and grid[0] * grid[1] == count), None)
    if not side or source in (None, target):
        return table
    print_log(f'LLMBackbone: resized the loaded position table from {source[0]}x{source[1]} to {target[0]}x{target[1]} '
              'patches.', logger='current')
    return resize_position_table(table, source, target, mode, num_extra_tokens)
