"""Losses on planes through the parameter spaces of runs: measured and tabled."""
import argparse
import sys
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import pandas as pd
import torch
from torch import nn

from lbbt_mm.analysis.landscape import local_minima, orthogonal_direction, plane_losses, training_direction, unit_direction
from lbbt_mm.analysis.parameter_space import Tensors
from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.random_state import derive_seed
from .features import part_name
from .landscape_picture import draw
from .losses import FixedLoss, check_ends, load_batches, refuse_diverged
from .numbers import print_numbers, write_numbers
from .parts import Parts, stamp
from .progress import track
from .run_names import short_names
from .trained import OpenedRun, open_runs

#: What the losses depend on beside the run: options of the command line.
_SETTINGS = ('directions', 'norm', 'norm_of', 'alphas', 'points', 'split', 'max_samples', 'batch_size', 'device', 'seed')


class Plane(NamedTuple):
    """A plane in a model's parameter space.

    Attributes:
        loss: The loss of the model, whose parameters are written.
        parameters: Those that take part.
        origin: Their values at the middle.
        directions: Of its two sides.
        about: For the table: ``tensors`` that take part, and ``norm of d1``.
    """
    loss: FixedLoss
    parameters: Dict[str, nn.Parameter]
    origin: Tensors
    directions: Sequence[Tensors]
    about: Dict[str, Any]


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    opened = open_runs(args)
    parts = Parts(args.out / 'landscape.parts.json', {name: getattr(args, name) for name in _SETTINGS})
    check_ends(opened[1:])  # the first is looked at next
    grids, table = [], []
    for opened_run, name in zip(opened, short_names(opened)):
        grid, about = measure(opened_run, args, parts)
        grids.append((name, grid))
        table.append(dict(run=name, **about))
    write_numbers(pd.concat([_as_rows(run.label, run.checkpoint, grid) for (_, grid), run in zip(grids, opened)]), args.out,
                  'landscape')
    draw(grids, args.directions == 'public', args.start, args.end).save(args.out, 'landscape')
    print_numbers(pd.DataFrame(table), f'Loss on a plane, {args.max_samples} images of {args.split}')


def measure(run: OpenedRun, args: argparse.Namespace, parts: Parts) -> Tuple[pd.DataFrame, Dict[str, Any]]:
    """The losses of a run on its plane.

    Args:
        run: The run.
        args: The command line.
        parts: Rows that are done.

    Returns:
        tuple: A grid, beta by alpha, NaN where the loss is not finite; and a row of the table.
    """
    alphas, betas = ([round(value, 12) for value in torch.linspace(*ends, args.points, dtype=torch.float64).tolist()]
                     for ends in (args.alphas, args.betas))
    where = [side if side in ('start', 'end') else stamp(side) for side in (args.start, args.end)]
    name_of = partial(part_name, run, where, start='start' in where)
    names = {beta: name_of('row', beta) for beta in betas}
    about = name_of('about')
    plane = None
    if any(name not in parts for name in (*names.values(), about)):
        plane = open_plane(run, args)
    found = parts.get(about, partial(_about, plane, args))
    rows = {}
    for beta in track(betas, f'{run.label}: rows'):
        losses = parts.get(names[beta], partial(_row, plane, alphas, beta))
        rows[beta] = [float('nan') if loss is None else loss for loss in losses]
    grid = pd.DataFrame(rows.values(), index=betas, columns=alphas, dtype=float)
    finite = grid.stack().dropna()
    beta, alpha = finite.idxmin() if len(finite) else (float('nan'), ) * 2
    return grid, dict(found, lowest=finite.min(), **{'at alpha': alpha, 'at beta': beta}, highest=finite.max(),
                      **{'local minima': local_minima(grid.values)}, gaps=grid.size - len(finite))


def open_plane(run: OpenedRun, args: argparse.Namespace) -> Plane:
    """Read both ends of a run's training direction, and draw the other one.

    Args:
        run: The run.
        args: The command line.

    Raises:
        ValueError: If a run diverged, nothing moved, or the two checkpoints cannot be matched.
    """
    model, far = (_open(run, where, args) for where in (args.end, args.start))
    start, parameters = dict(far.named_parameters()), dict(model.named_parameters())
    _say_of_buffers(run, model, far)
    generator = torch.Generator().manual_seed(derive_seed(f'landscape {args.seed}', bits=32))
    if args.directions == 'public':
        trainable = {name: tensor for name, tensor in start.items() if tensor.requires_grad}
        directions = [unit_direction(trainable, generator) for _ in range(2)]
    else:
        try:
            step = training_direction(start, parameters)
        except ValueError as error:
            raise ValueError(f'{run.name}: {error}') from None
        directions = [step, orthogonal_direction(step, step if args.norm_of == 'step' else start, args.norm, generator)]
    about = dict(tensors=f'{len(directions[0])} of {len(start)}', **{'norm of d1': sum(
        float(part.double().square().sum()) for part in directions[0].values())**0.5})
    origin = {name: start[name].detach().clone() for name in directions[0]}
    loss = FixedLoss(model, load_batches(run, model, args.split, args.max_samples, args.batch_size))
    return Plane(loss, {name: parameters[name] for name in origin}, origin, directions, about)


def _open(run: OpenedRun, where: str, args: argparse.Namespace) -> nn.Module:
    if where in ('start', 'end'):
        model = (run.at_start if where == 'start' else run.at_end)(args.device)
    else:
        refuse_unsafe_checkpoints([where], trust=False)
        other = copy(run)
        other.checkpoint = Path(where)
        model = other.at_end(args.device)
    refuse_diverged(run.name, model)
    return model


def _say_of_buffers(run: OpenedRun, model: nn.Module, far: nn.Module) -> None:
    other = dict(far.named_buffers())
    moved = [name for name, buffer in model.named_buffers()
             if buffer.is_floating_point() and name in other and not torch.equal(buffer, other[name])]
    if moved:
        print(f'{run.name}: {moved[0]} and {len(moved) - 1} more buffers are those of --to at all points, since running '
              'statistics are no part of the plane.', file=sys.stderr)


def _about(plane: Plane, args: argparse.Namespace) -> Dict[str, Any]:
    """What the table says beside the losses of the grid: those at the middle and, where the plane has it, at the end."""
    losses = _row(plane, [0., 1.], 0.)
    return {**plane.about, f'at {args.start}': losses[0],
            **({f'at {args.end}': losses[1]} if args.directions == 'training' else {})}


def _row(plane: Plane, alphas: List[float], beta: float) -> List[Any]:
    """Losses as JSON has them: None where one is not finite."""
    losses = plane_losses(plane.loss, plane.parameters, plane.origin, plane.directions, alphas, beta)
    return [loss if abs(loss) < float('inf') else None for loss in losses]


def _as_rows(label: str, checkpoint: Path, grid: pd.DataFrame) -> pd.DataFrame:
    rows = [(alpha, beta, grid.loc[beta, alpha]) for beta in grid.index for alpha in grid.columns]
    return pd.DataFrame(rows, columns=['alpha', 'beta', 'loss']).assign(label=label, checkpoint=str(checkpoint))
