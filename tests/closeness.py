"""How near two ways of computing the same thing come, on whichever processor the tests run.

Processors sum in different orders, so equal functions differ by rounding: by a few units in the last place (``eps`` of
the type) for each operation, more the longer the sums and the more layers there are in a row, and in proportion to the
values. One rule for all tests follows from those; what it lets through is far below what any fault in a formula does.
"""
import math
from typing import Any, Optional

import torch
from torch import Tensor

#: Units in the last place that the worst entry may be off by for each layer: the roundings on the way through one, and
#: a reserve for other processors. With torch's kernels for AVX-512, for AVX2 and for neither, up to 1.7 were seen.
_UNITS = 8
#: Products in the longest sum of the tiny language models (:mod:`tests.tiny_checkpoints`), their feed-forward width.
_TERMS = 128


def rounding(depth: float = 1, terms: int = _TERMS, dtype: torch.dtype = torch.float32) -> float:
    """The relative error that rounding explains.

    Args:
        depth: Layers in a row: blocks, steps of training, or what else hands its errors on.
        terms: Products in the longest sum; errors of a sum grow with the root of their number. 1 where nothing is
            summed, or sums are kept in a finer type, as those of bfloat16 are.
        dtype: The coarsest type that is computed in.

    Returns:
        float: The error, a share of the values' size.
    """
    return _UNITS * depth * math.sqrt(terms) * torch.finfo(dtype).eps


def size_of(*tensors: Tensor) -> float:
    """Root mean square of the values, of the largest tensor where there are several; whole numbers do not count."""
    real = (tensor.detach().double() for tensor in tensors if tensor.is_floating_point() and tensor.numel())
    return max((tensor.square().mean().sqrt().item() for tensor in real), default=0.)


def assert_close(found: Any, expected: Any, *, depth: float = 1, terms: int = _TERMS,
                 dtype: Optional[torch.dtype] = None, size: Optional[float] = None, msg: str = '') -> None:
    """Fail if two tensors, or sequences of them, differ by more than rounding.

    Args:
        found: What was computed; whole numbers have to be equal.
        expected: What should have been.
        depth: See :func:`rounding`.
        terms: See :func:`rounding`.
        dtype: The coarsest type that is computed in. Defaults to None, the coarser of the two tensors' own.
        size: Size of the values that errors come from, where the result is a small difference of large ones. Defaults
            to None, the root mean square of ``expected``.
        msg: What is compared, for the message.
    """
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), msg
        for one, other in zip(found, expected):
            assert_close(one, other, depth=depth, terms=terms, dtype=dtype, size=size, msg=msg)
        return
    found, expected = found.detach(), expected.detach()
    if not expected.is_floating_point():
        assert torch.equal(found, expected), msg
        return
    dtype = dtype or max((found.dtype, expected.dtype), key=lambda kind: torch.finfo(kind).eps)
    relative = rounding(depth, terms, dtype)
    absolute = relative * (size_of(expected) if size is None else size)
    torch.testing.assert_close(found.double(), expected.double(), rtol=relative, atol=absolute,
                               msg=lambda text: f'{msg}: {text}' if msg else text)


def is_close(found: Tensor, expected: Tensor, **options: Any) -> bool:
    """Whether :func:`assert_close` would pass."""
    try:
        assert_close(found, expected, **options)
    except AssertionError:
        return False
    return True


def assert_near(found: Tensor, expected: Tensor, dtype: torch.dtype, depth: float = 1) -> None:
    """Fail if a computation in a coarse type is off by more, all values together, than that type's rounding.

    Args:
        found: What was computed in ``dtype``, its sums in a finer type.
        expected: The same in a finer type.
        dtype: The coarse type.
        depth: See :func:`rounding`.
    """
    error = size_of(found.double() - expected.double()) / size_of(expected)
    allowed = rounding(depth, 1, dtype) / 2  # the mean is off by less than the worst
    assert error < allowed, f'off by {error:.4f} of the size, {allowed:.4f} allowed'
