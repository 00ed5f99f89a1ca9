"""How a loss and its gradient answer to small changes of the parameters: those measures of LBBT's table 15 (appendix G)."""
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

import torch
from torch import Tensor

from .parameter_space import Tensors, parameters_kept, write_point


def noise_curve(loss: Callable[[], float], parameters: Mapping[str, Tensor], scales: Sequence[float],
                generator: torch.Generator) -> List[float]:
    """What noise of several sizes adds to the loss, for one draw and its mirror image.

    Each tensor gets normal noise whose standard deviation is ``scale`` times the root mean square of the tensor's own
    values, as in the expected sharpness of Neyshabur et al. (arXiv 1706.08947, section 2) with noise that is proportional
    to the weights. The mirror image takes away what the gradient adds, which is 0 in expectation.

    Args:
        loss: The loss of the unchanged model.
        parameters: The model's parameters; they are given back as they were.
        scales: Sizes, relative to the weights.
        generator: Draws the noise, on the CPU.

    Returns:
        list[float]: ``(L(theta + noise) + L(theta - noise)) / 2 - L(theta)`` for each size.
    """
    with parameters_kept(parameters) as origin:
        noise = {name: torch.randn(tensor.shape, generator=generator).to(tensor) * tensor.square().mean().sqrt()
                 for name, tensor in origin.items()}
        before = float(loss())

        def at(length: float) -> float:
            write_point(parameters, origin, (length, noise))
            return float(loss())

        return [(at(scale) + at(-scale)) / 2 - before for scale in scales]


def noise_area(scales: Sequence[float], added: Sequence[float]) -> float:
    """Noise sensitivity AUC: area under the added loss over the size of the noise, from 0, divided by the largest size.

    Args:
        scales: Sizes, rising, all above 0.
        added: Added loss for each.

    Returns:
        float: The mean added loss for noise of a size up to the largest, in units of the loss (trapezoids).
    """
    sizes, heights = (torch.tensor([0., *values], dtype=torch.float64) for values in (scales, added))
    return float(torch.trapezoid(heights, sizes) / sizes[-1])


def gradient_predictiveness(gradient: Callable[[], Tensors], parameters: Mapping[str, Tensor],
                            lengths: Sequence[float]) -> Tuple[float, float]:
    """Gradient predictiveness: how far the gradient changes along itself (Santurkar et al., arXiv 1805.11604, section 3.1).

    With ``g`` the gradient, it is taken again after steps of ``-t |theta| g / |g|``.

    Args:
        gradient: The gradient of the unchanged model, by the parameters' names.
        parameters: The model's parameters; they are given back as they were.
        lengths: Values of ``t``, lengths of steps relative to the norm of all parameters.

    Returns:
        tuple[float, float]: Means over steps of ``|g' - g| / |g|`` (0: the gradient tells all of the next one) and of the
        cosine between ``g'`` and ``g`` (1: it does).
    """
    with parameters_kept(parameters) as origin:
        first = gradient()
        size = _norm(first)
        changes, cosines = [], []
        for length in lengths:
            write_point(parameters, origin, (-length * _norm(origin) / size if size else 0., first))
            second = gradient()
            changes.append(_norm({name: second[name] - first[name] for name in first}) / size if size else float('nan'))
            product = sum(float((second[name] * first[name]).sum()) for name in first)
            cosines.append(product / (size * _norm(second)) if size and _norm(second) else float('nan'))
    return sum(changes) / len(changes), sum(cosines) / len(cosines)


def parameter_sensitivity(gradient: Mapping[str, Tensor]) -> Dict[str, float]:
    """Sensitivity of the loss to each tensor's most sensitive parameter, ``max |dL / d theta_i|``.

    Args:
        gradient: The gradient, by name.

    Returns:
        dict: Name -> the largest magnitude; the largest of all is the maximum parameter sensitivity.
    """
    return {name: float(tensor.abs().max()) for name, tensor in gradient.items()}


def _norm(tensors: Mapping[str, Tensor]) -> float:
    return sum(float(tensor.double().square().sum()) for tensor in tensors.values())**0.5
