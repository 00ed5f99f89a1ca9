"""Batch normalisation over the samples of all ranks, on any device.

torch's ``SyncBatchNorm`` needs GPUs; this one needs a process group alone, so that two CPU ranks can be compared with one.
"""
from typing import Any, Tuple

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class SyncedBatchNorm(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` of features ``(N, C)`` whose moments in training are those of the batches of all ranks.

    With one process, in evaluation and with ``synced = False`` it is torch's own.

    Args:
        *args: As for ``nn.BatchNorm1d``.
        synced: Whether ranks share their moments. Defaults to True. It may be changed at any time, on all ranks alike.
        **kwargs: As for ``nn.BatchNorm1d``.

    Raises:
        ValueError: In training, if there is one sample in all.
    """

    def __init__(self, *args: Any, synced: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.synced = synced

    def forward(self, x: Tensor) -> Tensor:
        """Normalise features ``(N, C)``."""
        together = self.training and self.synced and get_world_size() > 1
        if self.training and len(x) * (get_world_size() if together else 1) < 2:
            raise ValueError(f'BatchNorm: found {len(x)} sample in a training batch; expected at least 2, as one alone has '
                             'no variance. Raise batch_size (and accumulate_size, where it is set), or leave the norm out '
                             'with norm=False.')
        if not together:
            return super().forward(x)
        y, mean, var, count = _BatchNorm.apply(x, self.weight, self.bias, self.eps)
        self._update_running(mean, var * count / (count - 1))
        return y

    def _update_running(self, mean: Tensor, var: Tensor) -> None:
        if not self.track_running_stats:
            return
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            share = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.item()
            self.running_mean.lerp_(mean.to(self.running_mean), share)
            self.running_var.lerp_(var.to(self.running_var), share)


class _BatchNorm(Function):
    """Gradients of the shared moments are summed over ranks; of weight and bias each rank has its own samples' part."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Any, bias: Any, eps: float) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = x.float()
        count = wide.new_tensor([float(len(x))])
        mean = wide.sum(0)
        all_reduce(count)
        all_reduce(mean)
        mean /= count
        centred = wide - mean
        var = centred.square().sum(0)  # in a second round: sums of squares lose digits where the mean is large
        all_reduce(var)
        var /= count
        inverse = (var + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, inverse, count)
        ctx.mark_non_differentiable(mean, var, count)
        y = centred.mul_(inverse)
        if weight is not None:
            y = y.mul_(weight).add_(bias)
        return y.to(x), mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor, *_: Any):
        x, weight, mean, inverse, count = ctx.saved_tensors
        grad = grad.float()
        normed = (x.float() - mean).mul_(inverse)
        sums = torch.stack([grad.sum(0), (grad * normed).sum(0)])
        grad_bias, grad_weight = sums.clone() if weight is not None else (None, None)
        all_reduce(sums)
        sums /= count
        grad_x = grad.sub(sums[0]).sub_(normed.mul_(sums[1])).mul_(inverse if weight is None else inverse * weight)
        return grad_x.to(x), grad_weight, grad_bias, None
