"""Weights that are held fast: buffers, which no optimizer, gradient reduction or weight average looks at."""
from zlib import crc32

import torch
from torch import Tensor, nn


def hold(module: nn.Module) -> None:
    """Turn every parameter of a module into a buffer of the same name; what freezes its modes is ``models/freezing.py``.

    mmengine gives an optimizer all of a model's parameters, whether they have gradients or not. A buffer is in none, has
    no gradient and no optimizer state, and moves with the model all the same.

    Args:
        module: The module; it computes what it did.
    """
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())


def checksum(module: nn.Module) -> str:
    """A checksum of a module's buffers, which is another if one bit, name or type of number is."""
    found = 0
    for name, tensor in sorted(module.named_buffers()):
        found = crc32(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode(), found)
        found = crc32(_bytes(tensor), found)
    return f'{found:08x}'


def _bytes(tensor: Tensor):
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
