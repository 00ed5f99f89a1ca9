"""Automatic mixed precision in bfloat16 on any device, CPUs included (mmengine's AmpOptimWrapper needs a GPU)."""
import logging
import platform
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from lbbt_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast; weights, gradients and optimizer stay in float32.

    bfloat16 has float32's range, so no loss scaling is needed. Evaluation under ``val_cfg.fp16`` is in bfloat16 too:
    building the wrapper sets torch's default for autocast on the device in use. On a processor without instructions for
    bfloat16, where its products take several times as long as float32's, the log says so.

    Args:
        **kwargs: As for :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        torch.set_autocast_dtype(get_device(), torch.bfloat16)
        if get_device() == 'cpu' and lacks_bfloat16():
            print_log('AutocastOptimWrapper: this processor has no instructions for bfloat16, in which its products take '
                      'several times as long as in float32. Set optim_wrapper.type=OptimWrapper, and fp16=False in '
                      'val_cfg and test_cfg where it is True.', 'current', logging.WARNING)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Enter autocast, inside mmengine's own context for gradient accumulation."""
        with super().optim_context(model), torch.autocast(get_device(), dtype=torch.bfloat16):
            yield


def lacks_bfloat16() -> bool:
    """Whether this is an x86 processor that torch knows to have neither AVX-512's nor AMX's bfloat16 products."""
    known = [getattr(torch.cpu, name, None) for name in ('_is_avx512_bf16_supported', '_is_amx_tile_supported')]
    return platform.machine() in ('x86_64', 'AMD64') and all(has_it is not None and not has_it() for has_it in known)
