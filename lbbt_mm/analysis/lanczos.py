"""Eigenvalues of a symmetric operator that is known by its products with vectors, such as a Hessian."""
import math
from typing import Any, Callable, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor


class Quadrature(NamedTuple):
    """What a Lanczos run finds of a spectrum.

    Attributes:
        values: Ritz values ``(m, )``, rising; the outer ones are eigenvalues, as far as ``residuals`` says.
        weights: ``(m, )``, of sum 1: with them, the values are a Gauss quadrature of the spectral density, seen from the
            start vector.
        residuals: ``(m, )``: an eigenvalue lies no farther than this from each value.
    """
    values: Tensor
    weights: Tensor
    residuals: Tensor


def lanczos(operator: Any, start: Tensor, steps: int) -> Quadrature:
    """Lanczos' iteration with full reorthogonalisation (Golub and Meurant, 2010, chapters 4 and 6).

    Without it, as in curvlinops' ``fast_lanczos``, a large eigenvalue is found several times, and then the gap between
    the two largest ones is 0. It keeps ``steps`` vectors.

    Args:
        operator: Symmetric, of ``P`` rows: a matrix, or a curvlinops operator; only ``operator @ vector`` is used.
        start: Vector ``(P, )``; a random one, for the density.
        steps: ``m``, products to take; fewer are taken where the vectors found span all that the operator reaches.

    Raises:
        ValueError: If a product is not finite.
    """
    basis = start.new_empty((min(steps, len(start)), len(start)))
    diagonal, beside, vector, largest = [], [], start / start.norm(), 0.
    for step in range(len(basis)):
        basis[step] = vector
        found = operator @ vector
        diagonal.append(float(vector @ found))
        size = float(found.norm())
        if not math.isfinite(size):
            raise ValueError('a product with its Hessian is not finite; expected numbers. Leave it out, or give an earlier '
                             'checkpoint.')
        largest = max(largest, size)
        known = basis[:step + 1]
        for _ in range(2):  # twice is enough (Parlett, 1998, section 6.9)
            found = found - known.T @ (known @ found)
        beside.append(float(found.norm()))
        if beside[-1] <= torch.finfo(start.dtype).eps * 10 * largest:
            beside[-1] = 0.
            break
        vector = found / beside[-1]
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    inner = torch.tensor(beside[:-1], dtype=torch.float64)
    values, vectors = torch.linalg.eigh(matrix + torch.diag(inner, 1) + torch.diag(inner, -1))
    return Quadrature(values, vectors[0]**2, beside[-1] * vectors[-1].abs())


def pooled(draws: Sequence[Quadrature]) -> Tuple[Tensor, Tensor]:
    """The density as several start vectors see it: values and weights (stochastic Lanczos quadrature).

    Ubaru, Chen and Saad, 2017; for Hessians of networks: Ghorbani et al., arXiv 1901.10159, section 3.

    Args:
        draws: Runs from random vectors, independent of each other.
    """
    return (torch.cat([draw.values for draw in draws]), torch.cat([draw.weights for draw in draws]) / len(draws))


def estimate(draws: Sequence[Quadrature], measure: Callable[[Tensor, Tensor], float]) -> Tuple[float, float]:
    """A measure of the spectral density, and its standard error by the jackknife over start vectors.

    Args:
        draws: Runs from random vectors, independent of each other.
        measure: Takes values and weights, as :func:`pooled` gives them.

    Returns:
        tuple[float, float]: The error is NaN for one draw.
    """
    value, number = measure(*pooled(draws)), len(draws)
    if number < 2:
        return value, float('nan')
    without = torch.tensor([measure(*pooled([*draws[:left], *draws[left + 1:]])) for left in range(number)],
                           dtype=torch.float64)
    return value, float(((number - 1) / number * (without - without.mean()).square().sum()).sqrt())
