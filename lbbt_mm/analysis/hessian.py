"""Measures of a Hessian's spectrum, those of LBBT's table 15, which it names and does not define (appendix G).

All but the decay rate and the gap are functions of eigenvalues and their weights, so that they serve for all eigenvalues (a
quadrature of their density, see :mod:`lbbt_mm.analysis.lanczos`) and for some (each with the same weight).
"""
import math
from typing import Sequence, Tuple

import torch
from torch import Tensor


def leading(values: Tensor, number: int) -> Tensor:
    """Places of the eigenvalues that are largest in magnitude, in order.

    Args:
        values: Eigenvalues ``(m, )``.
        number: How many, at most.
    """
    return values.abs().argsort(descending=True)[:number]


def largest(values: Tensor, number: int, above: float = -math.inf) -> Tensor:
    """Places of the largest eigenvalues, in order.

    Args:
        values: Eigenvalues ``(m, )``.
        number: How many, at most.
        above: Only those above this. Defaults to all.
    """
    return values.argsort(descending=True)[:min(number, int((values > above).sum()))]


def alike(values: Tensor) -> Tensor:
    """The same weight for each of some values; the sum is 1."""
    return torch.full_like(values, 1 / len(values))


def decay_rate(values: Tensor, number: int) -> float:
    """Eigenvalue decay rate: slope of ``log lambda_k`` over ``log k``, by least squares.

    The exponent of a power law, as in Xie et al. (arXiv 2201.13011, section 2); more negative is faster.

    Args:
        values: Eigenvalues ``(m, )``.
        number: How many of the largest ones are used, three or more.

    Returns:
        float: NaN where fewer are above 0: a slope over fewer ranks is another number.
    """
    used = values[largest(values, number, above=0)].double()
    if len(used) < max(3, number):
        return float('nan')
    rank = torch.arange(1, number + 1, dtype=torch.float64).log()
    rank, height = rank - rank.mean(), used.cpu().log()
    return float((rank * height).sum() / rank.square().sum())


def spectral_gap(values: Tensor) -> float:
    """Spectral gap: ``lambda_1 - lambda_2``, of the two largest eigenvalues (Ghorbani et al., arXiv 1901.10159).

    Args:
        values: Eigenvalues ``(m, )``, each as often as it occurs. Lanczos finds an eigenvalue once, however often it
            occurs: from its values, the gap is the one between the two largest *different* eigenvalues, and never 0.

    Returns:
        float: NaN for one eigenvalue.
    """
    first = values.sort(descending=True).values[:2]
    return float(first[0] - first[1]) if len(first) == 2 else float('nan')


def kurtosis(values: Tensor, weights: Tensor) -> float:
    """Excess kurtosis of the eigenvalues: ``m4 / m2^2 - 3``, with central moments ``mj = sum(w (lambda - mean)^j)``.

    It is 0 for a normal distribution and never below -2; for ``n`` eigenvalues it is at most ``n - 5 + 1 / (n - 1)``.

    Args:
        values: Eigenvalues ``(m, )``.
        weights: ``(m, )``, of sum 1.

    Returns:
        float: NaN where all are the same.
    """
    values, weights = values.double(), weights.double()
    centred = values - (weights * values).sum()
    second = (weights * centred**2).sum()
    return float((weights * centred**4).sum() / second**2 - 3) if second > 0 else float('nan')


def participation_ratio(values: Tensor, weights: Tensor) -> float:
    """Participation ratio: ``(sum w |lambda|)^2 / sum w lambda^2``, the share of eigenvalues that the curvature is in.

    ``(sum lambda)^2 / sum lambda^2`` counts the dimensions of a covariance (Gao et al., 2017, doi 10.1101/214262); here it
    is divided by their number, and magnitudes are taken, since a Hessian has negative eigenvalues. 1: all are equally large.

    Args:
        values: Eigenvalues ``(m, )``.
        weights: ``(m, )``, of sum 1.

    Returns:
        float: In (0, 1]; NaN where all are 0.
    """
    values, weights = values.double(), weights.double()
    second = (weights * values**2).sum()
    return float((weights * values.abs()).sum()**2 / second) if second > 0 else float('nan')


def negative_ratio(values: Tensor, weights: Tensor, zero: float = 0.) -> float:
    """Negative eigenvalue ratio: the share of eigenvalues below ``-zero`` (Alain et al., arXiv 1902.02366).

    Args:
        values: Eigenvalues ``(m, )``.
        weights: ``(m, )``, of sum 1.
        zero: Up to this magnitude they count as 0. Defaults to 0.
    """
    return float(weights.double()[values < -zero].sum())


def negative_energy(values: Tensor, weights: Tensor) -> float:
    """The share of ``sum w |lambda|`` that negative eigenvalues have (Ghorbani et al., arXiv 1901.10159, section 4).

    Unlike their number it does not depend on the many eigenvalues around 0, whose sign rounding decides.

    Args:
        values: Eigenvalues ``(m, )``.
        weights: ``(m, )``, of sum 1.

    Returns:
        float: NaN where all are 0.
    """
    size = weights.double() * values.double().abs()
    return float(size[values < 0].sum() / size.sum()) if size.sum() > 0 else float('nan')


def mean_and_error(values: Sequence[float]) -> Tuple[float, float]:
    """Mean of independent draws, such as Hutchinson's of a trace, and its standard error.

    Args:
        values: The draws.

    Returns:
        tuple[float, float]: The error is NaN for one draw.
    """
    drawn = torch.tensor(list(values), dtype=torch.float64)
    spread = drawn.std() / len(drawn)**0.5 if len(drawn) > 1 else float('nan')
    return float(drawn.mean()), float(spread)
