"""What contrastive losses over image-text pairs share: their settings, a scale that may train, and how they are called."""
import math
from typing import Any, Dict

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_count, check_number


class ContrastiveLoss(BaseModule):
    """A loss of the logits between all images and all texts, ``scale`` times their cosines.

    A subclass says by :meth:`loss` what it is of them.

    Args:
        scale: Of the logits.
        learn_scale: Whether it trains; its logarithm is the parameter.
        chunk_size: Rows of logits at a time.
        gather: Whether ranks share their pairs.

    Raises:
        ValueError: If ``scale`` or ``chunk_size`` is not above 0.
    """

    def __init__(self, scale: float, learn_scale: bool, chunk_size: int, gather: bool) -> None:
        super().__init__()
        check_number(f'{type(self).__name__}: scale', scale, above=0)
        check_count(f'{type(self).__name__}: chunk_size', chunk_size)
        self.chunk_size, self.gather = chunk_size, gather
        learned_or_fixed(self, 'log_scale', math.log(scale), learn_scale)

    @property
    def scale(self) -> Tensor:
        """The scale now, as a tensor of no dimension."""
        return self.log_scale.exp()

    def config(self) -> Dict[str, Any]:
        """This loss as it is now, as a config of its own, for a metric of one process."""
        return dict(type=f'lbbt_mm.{type(self).__name__}', scale=self.scale.item(), chunk_size=self.chunk_size, gather=False)

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """The loss of pairs.

        Args:
            image: Of unit length, ``(N, D)``.
            text: Of unit length, ``(N, D)``; the text of each image.

        Returns:
            Tensor: Of no dimension, in float32; with several ranks the same on each.

        Raises:
            ValueError: If images and texts have different shapes, or ranks have different numbers of pairs.
        """
        _check_pairs(image, text)
        with torch.autocast(image.device.type, enabled=False):
            return self.loss(image.float(), text.float(), self.gather and self.training)

    def loss(self, image: Tensor, text: Tensor, gather: bool) -> Tensor:
        """The loss of pairs that fit together, in float32.

        Args:
            image: Of unit length, ``(N, D)``.
            text: Of unit length, ``(N, D)``.
            gather: Whether the pairs of all ranks are in it.
        """
        raise NotImplementedError


def learned_or_fixed(module: nn.Module, name: str, value: float, learned: bool) -> None:
    """Give a loss a number that trains, or one that no optimizer knows; checkpoints hold both under one name."""
    if learned:
        module.register_parameter(name, nn.Parameter(torch.tensor(value)))
    else:
        module.register_buffer(name, torch.tensor(value))


def _check_pairs(image: Tensor, text: Tensor) -> None:
    if image.ndim != 2 or image.shape != text.shape or not len(image):
        raise ValueError(f'Contrastive loss: images {tuple(image.shape)}, texts {tuple(text.shape)}; expected two equal '
                         'shapes (N, D), with N of at least 1.')
