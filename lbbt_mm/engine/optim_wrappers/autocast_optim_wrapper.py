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

    bfloat16 has float32's range, so no loss scaling is needed. Evaluation under ``val_cfg.fp16`` is in bfloat16 too:
    building the wrapper sets torch's default for autocast on the device in use.

    Args:
        **kwargs: As for :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        torch.set_autocast_dtype(get_device(), torch.bfloat16)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Enter autocast, inside mmengine's own context for gradient accumulation."""
        with super().optim_context(model), torch.autocast(get_device(), dtype=torch.bfloat16):
            yield
