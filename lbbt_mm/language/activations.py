"""Activations of language models by their Hugging Face names, which are several for one function."""
from functools import partial
from typing import Callable, Dict

import torch.nn.functional as F
from torch import Tensor

_TANH_GELU = partial(F.gelu, approximate='tanh')  # `gelu_new` spells out the formula; torch has it as one kernel

ACTIVATIONS: Dict[str, Callable[[Tensor], Tensor]] = dict(
    gelu=F.gelu, gelu_new=_TANH_GELU, gelu_fast=_TANH_GELU, gelu_pytorch_tanh=_TANH_GELU, silu=F.silu, swish=F.silu,
    relu=F.relu)
