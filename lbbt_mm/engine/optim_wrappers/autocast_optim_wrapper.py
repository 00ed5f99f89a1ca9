"""Automatic mixed precision in bfloat16 on any device, CPUs included (mmengine's AmpOptimWrapper needs a GPU)."""
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from lbbt_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast; weights, gradients and optimizer stay in float32.

    bfloat16 has float32's range, so no loss scaling is needed.

    Args:
        **kwargs: As for :class:`mmengine.optim.OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Enter autocast, inside mmengine's own context for gradient accumulation."""
        with super().optim_context(model), torch.autocast(get_device(), dtype=torch.bfloat16):
            yield
