"""SigmoidPairLoss: each image-text pair a yes or no, with logits in blocks of rows (SigLIP, 2303.15343, Eq. 1)."""
from typing import Any, Dict, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lbbt_mm.argument_checks import check_number
from lbbt_mm.registry import MODELS
from .contrastive_loss import ContrastiveLoss, learned_or_fixed
from .pair_logits import Block, PairLogits, texts_of_all_ranks


@MODELS.register_module()
class SigmoidPairLoss(ContrastiveLoss):
    r"""Sigmoid loss over all combinations of images and texts.

    .. math:: -\frac{1}{N} \sum_i \sum_j \log \frac{1}{1 + e^{-z_{ij} (s x_i y_j + b)}}

    with z = 1 for a pair and -1 for any other combination. Ranks as for :class:`lbbt_mm.InfoNCELoss`.

    Args:
        scale: s. Defaults to 20, as in SAIL, which aligns frozen models with this loss.
        bias: b. Defaults to -10.
        learn_scale: Whether s and b train, from those values on, as in SigLIP; the logarithm of s is the parameter.
            Defaults to False.
        chunk_size: Rows of logits at a time; the loss does not depend on it but for rounding. Defaults to 1024.
        gather: Whether ranks share their pairs. Defaults to True.

    Raises:
        ValueError: If ``scale`` or ``chunk_size`` is not above 0, or ``bias`` is not a number.
    """

    def __init__(self, scale: float = 20., bias: float = -10., learn_scale: bool = False, chunk_size: int = 1024,
                 gather: bool = True) -> None:
        super().__init__(scale, learn_scale, chunk_size, gather)
        check_number('SigmoidPairLoss: bias', bias)
        learned_or_fixed(self, 'bias', float(bias), learn_scale)

    def config(self) -> Dict[str, Any]:
        """See :class:`ContrastiveLoss`."""
        return dict(super().config(), bias=self.bias.item())

    def loss(self, image: Tensor, text: Tensor, gather: bool) -> Tensor:
        """See :class:`ContrastiveLoss`."""
        return _Sigmoid.apply(image, text, self.scale, self.bias, self.chunk_size, gather)


class _Sigmoid(Function):

    @staticmethod
    def forward(ctx, image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, chunk_size: int, gather: bool) -> Tensor:
        texts = texts_of_all_ranks(text, gather)
        pairs = PairLogits(image, texts, scale, chunk_size)
        total = torch.zeros_like(scale, dtype=torch.float64)
        for block in pairs.blocks():
            total += F.softplus(_against(block, bias)).double().sum()
        if pairs.ranks > 1:
            all_reduce(total)
        ctx.save_for_backward(image, texts, scale, bias)
        ctx.chunk_size = chunk_size
        return (total / len(texts)).to(image)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Any, ...]:
        image, texts, scale, bias = ctx.saved_tensors
        pairs = PairLogits(image, texts, scale, ctx.chunk_size)
        of_bias = torch.zeros_like(bias)

        def of_block(block: Block) -> Tensor:
            each = _against(block, bias).sigmoid_()
            _own(each, block).neg_()
            each.mul_(grad / len(texts))
            of_bias.add_(each.sum())
            return each

        return (*pairs.gradients(of_block, ctx.needs_input_grad[2]), of_bias * pairs.ranks, None, None)


def _against(block: Block, bias: Tensor) -> Tensor:
    """``-z (s x y + b)`` in the place of the logits."""
    logits = block.logits.add_(bias)
    _own(logits, block).neg_()
    return logits


def _own(logits: Tensor, block: Block) -> Tensor:
    """The logits of the pairs themselves, as a view."""
    return logits[:, int(block.own[0]):].diagonal()
