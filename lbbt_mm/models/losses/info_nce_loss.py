"""InfoNCELoss: the symmetric contrastive loss of CLIP, with logits in blocks of rows."""
import math
from typing import Any, Tuple

import torch
from mmengine.dist import all_gather, all_reduce
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lbbt_mm.registry import MODELS
from .contrastive_loss import ContrastiveLoss
from .pair_logits import Block, PairLogits, texts_of_all_ranks

#: CLIP's bound on a learned scale.
MAX_SCALE = 100.


@MODELS.register_module()
class InfoNCELoss(ContrastiveLoss):
    r"""Symmetric InfoNCE: the mean of the cross entropies of the texts given an image, and of the images given a text.

    .. math:: -\frac{1}{2N} \sum_i \log \frac{e^{s x_i y_i}}{\sum_j e^{s x_i y_j}}
        + \log \frac{e^{s x_i y_i}}{\sum_j e^{s x_j y_i}}

    Over several ranks N counts the pairs of all of them, and gradients are such that data-parallel training, which takes
    their mean, does the step of one process with all pairs. In evaluation each rank is for itself.

    Args:
        scale: s. Defaults to 14.29, which ShareLock's public code holds fixed.
        learn_scale: Whether s trains, from ``scale`` on, as in CLIP: its logarithm is the parameter, and it stays below 100.
            Defaults to False.
        chunk_size: Rows of logits at a time; the loss does not depend on it but for rounding. Defaults to 1024.
        gather: Whether ranks share their pairs. Defaults to True.

    Raises:
        ValueError: If ``scale`` or ``chunk_size`` is not above 0.
    """

    def __init__(self, scale: float = 14.29, learn_scale: bool = False, chunk_size: int = 1024, gather: bool = True) -> None:
        super().__init__(scale, learn_scale, chunk_size, gather)

    @property
    def scale(self) -> Tensor:
        """The scale now, as a tensor of no dimension."""
        return self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()

    def loss(self, image: Tensor, text: Tensor, gather: bool) -> Tensor:
        """See :class:`ContrastiveLoss`."""
        return _InfoNCE.apply(image, text, self.scale, self.chunk_size, gather)


class _InfoNCE(Function):

    @staticmethod
    def forward(ctx, image: Tensor, text: Tensor, scale: Tensor, chunk_size: int, gather: bool) -> Tensor:
        texts = texts_of_all_ranks(text, gather)
        logits = PairLogits(image, texts, scale, chunk_size)
        of_rows, of_columns, positive = _log_sums(logits)
        total = of_rows.double().sum() - 2 * positive
        if logits.ranks > 1:
            of_columns = torch.stack(all_gather(of_columns)).logsumexp(0)
            all_reduce(total)
        ctx.save_for_backward(image, texts, scale, of_rows, of_columns)
        ctx.chunk_size = chunk_size
        return ((total + of_columns.double().sum()) / (2 * len(texts))).to(image)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Any, ...]:
        image, texts, scale, of_rows, of_columns = ctx.saved_tensors
        each = grad / (2 * len(texts))

        def of_block(block: Block) -> Tensor:
            given_text = (block.logits - of_columns).exp_()
            both = block.logits.sub_(of_rows[block.rows, None]).exp_().add_(given_text)
            both[torch.arange(len(both), device=both.device), block.own] -= 2
            return both.mul_(each)

        pairs = PairLogits(image, texts, scale, ctx.chunk_size)
        return (*pairs.gradients(of_block, ctx.needs_input_grad[2]), None, None)


def _log_sums(pairs: PairLogits) -> Tuple[Tensor, Tensor, Tensor]:
    """Log-sum-exp of this rank's rows ``(n)`` and, over these rows, of all columns ``(N)``; the sum of the pairs' logits."""
    of_rows, of_columns = [], None
    positive = torch.zeros_like(pairs.scale, dtype=torch.float64)
    for block in pairs.blocks():
        of_rows.append(block.logits.logsumexp(1))
        these = block.logits.logsumexp(0)
        of_columns = these if of_columns is None else torch.logaddexp(of_columns, these)
        positive += block.logits.gather(1, block.own[:, None]).double().sum()
    return torch.cat(of_rows), of_columns, positive
