"""One vector for each image from a frozen backbone of mmpretrain's interface."""
from typing import Any

import torch
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_choice

#: What stands for an image; ``auto`` is the class token where there is one.
POOLINGS = ('auto', 'class', 'mean', 'both')


class ImagePooling:
    """Runs a backbone and makes one vector of what it gives for an image.

    A backbone with tokens is asked for all of them, behind its final norm. One that was trained with the mean of its patches
    (``out_type='avg_featmap'``) keeps its own mean, which may have a norm of its own.

    Args:
        backbone: Any backbone with mmpretrain's interface, in evaluation mode; its ``out_type`` is set.
        pooling: ``class`` for the class token; ``mean`` for the mean of the patches, or of a map of features; ``both`` for
            the two joined; ``auto`` for the class token, or the mean where there is none or the backbone was trained with
            it. Defaults to ``auto``.

    Attributes:
        pooling: ``class``, ``mean`` or ``both``.

    Raises:
        ValueError: If the backbone has no class token, and it is asked for.
    """

    def __init__(self, backbone: nn.Module, pooling: str = 'auto') -> None:
        check_choice('ImagePooling: pooling', pooling, POOLINGS)
        own_mean = getattr(backbone, 'out_type', None) == 'avg_featmap'
        has_token = hasattr(backbone, 'out_type') and getattr(backbone, 'cls_token', None) is not None
        if pooling in ('class', 'both') and not has_token:
            raise ValueError(f'pooling {pooling} of images: {type(backbone).__name__} has no class token. Take the mean.')
        if pooling == 'auto':
            pooling = 'class' if has_token and not own_mean else 'mean'
        self.pooling, self._backbone = pooling, backbone
        if hasattr(backbone, 'out_type') and not (own_mean and pooling == 'mean'):
            backbone.out_type = 'raw'
        self._extra = getattr(backbone, 'num_extra_tokens', int(has_token))

    def __call__(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: Normalised images ``(B, 3, H, W)``.

        Returns:
            Tensor: ``(B, C)``, or ``(B, 2C)`` of a class token and a mean.
        """
        found = _last(self._backbone(images))
        if found.ndim == 2:
            return found
        if found.ndim == 4:
            return found.mean(dim=(2, 3))
        token, mean = found[:, 0], found[:, self._extra:].mean(1)
        return token if self.pooling == 'class' else mean if self.pooling == 'mean' else torch.cat([token, mean], dim=1)


def _last(found: Any) -> Tensor:
    """The last of a backbone's outputs."""
    return found[-1] if isinstance(found, (tuple, list)) else found
