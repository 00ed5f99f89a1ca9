"""Points of a model's parameter space: tensors by name, and the model's parameters written in place."""
from contextlib import contextmanager
from typing import Dict, Iterator, Mapping, Tuple

import torch
from torch import Tensor

#: Tensors of a model, by name.
Tensors = Dict[str, Tensor]


@torch.no_grad()
def write_point(parameters: Mapping[str, Tensor], origin: Mapping[str, Tensor],
                *steps: Tuple[float, Mapping[str, Tensor]]) -> None:
    """Write ``origin + sum(length * direction)`` into a model's parameters.

    Args:
        parameters: What is written to.
        origin: Tensors of the same names.
        *steps: Lengths, and directions that may lack some of the names: there they are zero.
    """
    for name, parameter in parameters.items():
        parameter.copy_(origin[name])
        for length, direction in steps:
            if name in direction:
                parameter.add_(direction[name], alpha=length)


@contextmanager
def parameters_kept(parameters: Mapping[str, Tensor]) -> Iterator[Tensors]:
    """Give parameters their values back, whatever is written to them meanwhile.

    Args:
        parameters: A model's parameters, by name.

    Yields:
        dict: A copy of their values.
    """
    origin = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        yield origin
    finally:
        write_point(parameters, origin)


def first_not_finite(tensors: Mapping[str, Tensor]) -> str:
    """Name of the first tensor with a NaN or an infinity in it; empty where all are finite.

    Args:
        tensors: Tensors by name.
    """
    return next((name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())), '')
