"""Gradient signal-to-noise ratio: how far the samples of a batch agree on where each parameter should go.

"Frozen Language Models are Gradient Coherence Rectifiers in Vision Transformers" (Bai et al.), Eqs. 1 to 3. Its Eq. 1
differentiates the loss by the image ``x``; the ratio of Eq. 2 is one of parameters, so it has to be by ``theta``.
"""
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Sequence, Tuple, Union

import torch
from torch import Tensor

#: Gradients of samples by a parameter: all at once, ``(B, *shape)``; or by parts (slices of its first dimension, or ``...``,
#: all of it), and of each part one sample after another, in memory that the next one may take.
Rows = Union[Tensor, Iterable[Tuple[Any, Iterator[Tensor]]]]
#: With so many samples or fewer, gradients without any signal have no expected ratio.
FEWEST = 3


def gsnr_floor(batch_size: int) -> float:
    """What Eq. 2 gives for gradients whose true mean is 0, on average: 1 / (B - 3).

    That is so for normal numbers, whose ratio is Student's t of B - 1 degrees of freedom, squared, over B - 1. Of any other
    distribution that is symmetric about 0 it is at least 1 / (B - 1): the mean of ``(sum g)^2 / (B sum g^2)`` over all signs
    is 1 / B, and the ratio is a convex function of that.

    Args:
        batch_size: B, the number of samples.

    Raises:
        ValueError: If B is 3 or less: the expectation is infinite.
    """
    if batch_size <= FEWEST:
        raise ValueError(f'A gradient signal-to-noise ratio over {batch_size} samples: gradients without a signal have no '
                         f'finite ratio there; expected {FEWEST + 1} samples or more in a batch. Take a larger batch.')
    return 1 / (batch_size - FEWEST)


class GradientMoments:
    """Mean, and sum of squared distances from it, of the gradients of samples by one parameter.

    They are followed sample by sample (Welford, 1962) and joined (Chan, Golub and LeVeque, 1979): the difference of Eq. 2,
    ``E(g^2) - E(g)^2``, would lose its digits in float32, and not be 0 where all samples agree.

    Args:
        parameter: What it is of; the numbers are of its shape and on its device.
    """

    def __init__(self, parameter: Tensor) -> None:
        #: How many samples were added.
        self.count = 0
        dtype = torch.promote_types(parameter.dtype, torch.float32)
        #: Their mean.
        self.mean = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
        #: The sum of their squared distances from it.
        self.squares = torch.zeros_like(self.mean)

    @torch.no_grad()
    def add(self, rows: Rows) -> None:
        """Add gradients of samples.

        Args:
            rows: The gradients.
        """
        if isinstance(rows, Tensor):
            variance, mean = torch.var_mean(rows.double(), dim=0, correction=0)
            self._join(len(rows), mean.to(self.mean), (variance * len(rows)).to(self.mean))
            return
        count = self.count
        for part, samples in rows:
            mean, squares = self.mean[part], self.squares[part]
            for count, row in enumerate(samples, self.count + 1):
                row = row.to(mean).sub_(mean)
                mean.add_(row, alpha=1 / count)
                squares.addcmul_(row, row, value=(count - 1) / count)
        self.count = count

    def _join(self, count: int, mean: Tensor, squares: Tensor) -> None:
        whole, apart = self.count + count, mean - self.mean
        self.mean.add_(apart, alpha=count / whole)
        self.squares.add_(squares).addcmul_(apart, apart, value=self.count * count / whole)
        self.count = whole

    def join_ranks(self, total: Callable[[Tensor], Tensor]) -> None:
        """Make them those of all ranks' samples.

        Args:
            total: Gives the sum of a tensor over the ranks.
        """
        count, mean = float(self.count), self.mean.double()
        self.count = round(float(total(mean.new_tensor(count))))
        whole = total(mean * count) / self.count
        apart = mean.sub_(whole)
        self.squares.copy_(total(self.squares.double() + count * apart * apart))
        self.mean.copy_(whole)


def whole_rows(rows: Rows) -> Tensor:
    """Gradients of samples as one tensor ``(B, *shape)``."""
    if isinstance(rows, Tensor):
        return rows
    parts = [torch.stack([row.clone() for row in samples]) for _, samples in rows]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class Gsnr(NamedTuple):
    """The ratio of a block.

    Attributes:
        gsnr: Eq. 3's term of a batch: the mean of Eq. 2 over the parameters with a variance; NaN if there are none.
        floor: What it would be without any signal, see :func:`gsnr_floor`.
        corrected: ``gsnr - floor``.
        scaled: ``B * gsnr``, about 1 without a signal, whatever B.
        parameters: How many parameters (numbers, not tensors) the block has.
        zero_variance: How many of them got the same gradient, mostly 0, from all samples; over several batches, on average.
            Eq. 2 is no number for them, and they are not in the mean.
    """
    gsnr: float
    floor: float
    corrected: float
    scaled: float
    parameters: int
    zero_variance: float


@torch.no_grad()
def block_gsnr(moments: Iterable[GradientMoments]) -> Gsnr:
    """The ratio of a block over one batch: Eq. 2 for each parameter, and its mean over the block.

    No epsilon is added to variances, which would decide the result: gradients' own scale has no meaning here.

    Args:
        moments: Of each of the block's parameters, over the same samples.

    Raises:
        ValueError: If the batch has 3 samples or fewer.
    """
    moments = list(moments)
    count, total, varying, parameters = moments[0].count, 0., 0, 0
    floor = gsnr_floor(count)
    for one in moments:
        varies = one.squares != 0  # what is not a number goes into the mean, and shows there
        ratio = count * one.mean[varies].double().square() / one.squares[varies].double()
        total, varying = total + float(ratio.sum()), varying + len(ratio)
        parameters += one.squares.numel()
    gsnr = total / varying if varying else float('nan')
    return Gsnr(gsnr, floor, gsnr - floor, count * gsnr, parameters, parameters - varying)


def mean_gsnr(batches: Sequence[Gsnr]) -> Gsnr:
    """The mean over the T batches of an epoch, Eq. 3.

    A batch in which no parameter has a variance has no ratio, and is left out of its mean: a head that starts at zero, as
    those of vision transformers do, gives the blocks no gradient in the first step.

    Args:
        batches: Of one block, all of the same batch size.
    """
    with_ratio = [one for one in batches if one.zero_variance < one.parameters] or batches
    means = Gsnr(*(sum(values) / len(with_ratio) for values in zip(*with_ratio)))
    return means._replace(floor=batches[0].floor, parameters=batches[0].parameters,
                          zero_variance=sum(one.zero_variance for one in batches) / len(batches))
