"""The loss on a plane through parameter space (LBBT, section 4.3 and figure 4; Li et al., arXiv 1712.09913)."""
from typing import Callable, List, Mapping, Sequence, Tuple

import torch
from torch import Tensor

from .parameter_space import Tensors, write_point

#: Parts of a direction that are orthogonal and scaled each by itself.
GROUPS = ('layer', 'filter', 'global')


def training_direction(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> Tensors:
    """What training has added, ``d1 = theta_T - theta_0``.

    Args:
        start: Parameters before.
        end: Parameters after, by the same names and of the same shapes.

    Returns:
        dict: Differences. A tensor that is the same in both (a frozen one) is left out, and so takes no part in the plane.

    Raises:
        ValueError: If the tensors cannot be matched, one of them is not finite, or nothing moved.
    """
    for name in [*start, *end]:
        shapes = [tuple(side[name].shape) if name in side else 'absent' for side in (start, end)]
        if shapes[0] != shapes[1]:
            raise ValueError(f'{name} is {shapes[0]} at one end of the direction and {shapes[1]} at the other; expected the '
                             'same tensors. Give two checkpoints of one model.')
    moved = {name: end[name].detach() - start[name].detach() for name in start}
    for name, step in moved.items():
        if not bool(step.isfinite().all()):
            raise ValueError(f'{name} has values that are not finite, so a run has diverged; expected finite weights. Leave '
                             'the run out, or give an earlier checkpoint.')
    moved = {name: step for name, step in moved.items() if bool(step.any())}
    if not moved:
        raise ValueError('no tensor differs between the two ends of the direction; expected a run that has trained. Give '
                         'two other checkpoints.')
    return moved


def orthogonal_direction(direction: Mapping[str, Tensor], like: Mapping[str, Tensor], by: str,
                         generator: torch.Generator) -> Tensors:
    """A random direction ``d2`` that is orthogonal to ``d1`` in each group, and so as a whole after it is scaled.

    Each group is drawn from a normal distribution, made orthogonal to that of ``d1`` and given the norm of the same group
    of ``like``. A group of one number has no orthogonal direction, and stays zero.

    Args:
        direction: The training direction ``d1``.
        like: What gives the norms: ``d1`` itself, or the weights, as in Li et al. (section 4).
        by: ``layer`` (each tensor is a group), ``filter`` (each slice of a tensor's first dimension, where it has two or
            more; other tensors are one group) or ``global`` (all is one group).
        generator: Draws it, on the CPU.

    Returns:
        dict: Tensors of ``d1``'s names and shapes.
    """
    if by not in GROUPS:
        raise ValueError(f'by={by!r}: expected one of {", ".join(GROUPS)}.')
    if by == 'global':
        flat = _orthogonal_rows(_flat(direction)[None], _flat({name: like[name] for name in direction})[None], generator)
        parts = flat[0].split([step.numel() for step in direction.values()])
        return {name: part.view_as(step) for (name, step), part in zip(direction.items(), parts)}
    return {name: _orthogonal_rows(_rows(step, by), _rows(like[name].to(step), by), generator).view_as(step)
            for name, step in direction.items()}


def unit_direction(like: Mapping[str, Tensor], generator: torch.Generator) -> Tensors:
    """A random direction whose norm over all tensors is one, as in the public code of LBBT.

    Args:
        like: Tensors whose names and shapes it has.
        generator: Draws it, on the CPU.
    """
    drawn = {name: torch.randn(tensor.shape, generator=generator).to(tensor) for name, tensor in like.items()}
    norm = _flat(drawn).norm()
    return {name: tensor / norm for name, tensor in drawn.items()}


def plane_losses(loss: Callable[[], float], parameters: Mapping[str, Tensor], origin: Mapping[str, Tensor],
                 directions: Tuple[Mapping[str, Tensor], Mapping[str, Tensor]], alphas: Sequence[float],
                 beta: float) -> List[float]:
    """A row of the plane, ``L(theta_0 + alpha d1 + beta d2)``: one model, whose parameters are written in place.

    Args:
        loss: The loss of the unchanged model.
        parameters: The model's parameters; they are left at the last point.
        origin: ``theta_0``.
        directions: ``d1`` and ``d2``.
        alphas: Coefficients of ``d1``.
        beta: Coefficient of ``d2``.

    Returns:
        list[float]: A loss for each of ``alphas``.
    """
    losses = []
    for alpha in alphas:
        write_point(parameters, origin, (alpha, directions[0]), (beta, directions[1]))
        losses.append(float(loss()))
    return losses


def _flat(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors.values()])


def _rows(tensor: Tensor, by: str) -> Tensor:
    """The tensor with one row for each of its groups."""
    return tensor.flatten(1) if by == 'filter' and tensor.ndim > 1 else tensor.reshape(1, -1)


def _orthogonal_rows(along: Tensor, like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(along.shape, generator=generator).to(along)
    if along.shape[1] < 2:
        return torch.zeros_like(along)
    unit = torch.nn.functional.normalize(along, dim=1, eps=0.).nan_to_num(0.)  # a group that did not move
    for _ in range(2):  # once leaves what rounding leaves
        drawn = drawn - (drawn * unit).sum(1, keepdim=True) * unit
    return drawn * (like.norm(dim=1, keepdim=True) / drawn.norm(dim=1, keepdim=True))


def local_minima(losses: Sequence[Sequence[float]]) -> int:
    """Inner points of a grid whose loss is below that of all eight neighbours.

    Args:
        losses: Rows ``(M, N)``; beside a value that is not finite, no point counts.
    """
    grid = torch.tensor(losses, dtype=torch.float64)
    inner = grid[1:-1, 1:-1]
    rows, columns = grid.shape
    lower = torch.ones_like(inner, dtype=torch.bool)
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                beside = grid[down:rows - 2 + down, right:columns - 2 + right]
                lower &= (inner < beside) & beside.isfinite()
    return int(lower.sum())
