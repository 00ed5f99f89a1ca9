"""Covariance alignment of networks and of trained models: measured and tabled."""
import argparse
import sys
from functools import partial
from typing import Any, Dict, List, Tuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lbbt_mm.analysis.alignment import (Eigenspaces, PatchMoments, align, eigenspaces, second_moment, smoothness, transfer)
from lbbt_mm.analysis.gaussian_network import GaussianNetwork, train_on_random_labels
from lbbt_mm.analysis.mean_interval import mean_interval
from .alignment_panels import NETWORK, draw
from .features import part_name
from .image_sizes import stackable, without_padding
from .losses import check_ends, refuse_diverged
from .numbers import of_all, print_numbers, write_numbers
from .parts import Parts
from .progress import track
from .preprocessing import preprocess
from .trained import OpenedRun, open_runs

#: What is said of each layer, beside its label and when it is looked at
_MEASURES = ('alignment', 'high', 'overlap', 'overlap_chance', 'smooth', 'smooth_high', 'smooth_p', 'rank')
#: Of the table: a measure and, in brackets, what chance gives
_SHOWN = (('alignment', 'high'), ('overlap', 'overlap_chance'), ('smooth', 'smooth_high'), ('rank', None))
#: What is looked at: the weights, or what training has added to them
WEIGHTS, CHANGE = 'weights', 'change'

Rows = List[Dict[str, Any]]


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    opened = open_runs(args)
    parts = Parts(args.out / 'alignment.parts.json', {name: getattr(args, name) for name in ('rotations', 'seed')})
    of_runs = _runs(opened, args, parts)  # first, since a run may be refused
    rows = _networks(args, parts) + of_runs
    frame, points = pd.DataFrame(rows), ['sigma', 'size', 'tau']
    curves = frame[['label', 'number', 'at', 'what', *points]].explode(points).astype(dict(sigma=float, size=int, tau=float))
    frame = frame.drop(columns=points)
    write_numbers(frame, args.out, 'alignment')
    write_numbers(curves, args.out, 'alignment_transfer')
    draw(frame, curves).save(args.out, 'alignment')
    print_numbers(summarise(frame), 'First-layer weights and the covariance of what they see; ± standard deviation.\nIn '
                  'brackets: what 95% of random rotations have at most; of overlap, what they have on average; of smooth, '
                  'what 95% of permutations have at most', ['label', 'at', 'what'])
    print_numbers(verdicts(frame), 'By how much alignment rises from start to end, and how smooth the transfer function is '
                  'at the end; means with 95% intervals', ['label', 'it', 'rise', 'R2', 'smooth in'])


# the theorem's networks


def _networks(args: argparse.Namespace, parts: Parts) -> Rows:
    """Rows of all networks, and of the covariance that all of them have together."""
    if not args.networks:
        return []
    network = GaussianNetwork(dimensions=args.dimensions, samples=args.inputs, width=args.width, activation=args.activation,
                              optimizer=args.optimizer, lr=args.lr)
    spaces = eigenspaces(torch.diag(network.sigma**2))
    steps = sorted({0, args.steps, *np.geomspace(min(10, args.steps), args.steps, 8).astype(int).tolist()})
    rows, moments = [], []
    for number in track(range(args.networks), 'networks'):
        found = parts.get(f'{network} {steps} {args.seed + number}',
                          partial(_train, network, args.seed + number, steps, spaces, args))
        rows += [dict(row, label=NETWORK, number=str(number)) for row in found['rows']]
        moments.append(torch.tensor(found['moments'], dtype=torch.float64))
    if len(moments) > 1:
        for at, what, moment in zip((0, steps[-1], steps[-1]), (WEIGHTS, WEIGHTS, CHANGE), torch.stack(moments).mean(0)):
            rows.append(dict(_measured(moment, spaces, args), label=NETWORK, number='all', at=str(at), what=what))
    return rows


def _train(network: GaussianNetwork, seed: int, steps: List[int], spaces: Eigenspaces,
           args: argparse.Namespace) -> Dict[str, Any]:
    """Rows of a network at each of some steps; and Sigma_w at the start and at the end, and that of the change."""
    rows, start = [], None
    for snapshot in train_on_random_labels(network, seed, steps):
        if not snapshot.weights.isfinite().all():
            raise ValueError(f'The network of seed {seed} has weights that are not finite after {snapshot.step} steps, so '
                             f'it has diverged; expected finite ones. Give an --lr below {args.lr:g}.')
        start = snapshot.weights if start is None else start
        change = second_moment(snapshot.weights - start)
        for what, moment in ((WEIGHTS, second_moment(snapshot.weights)), (CHANGE, change)):
            if snapshot.step or what == WEIGHTS:
                rows.append(dict(at=str(snapshot.step), what=what, accuracy=snapshot.accuracy,
                                 **_measured(moment, spaces, args)))
    moments = second_moment(start), second_moment(snapshot.weights), change
    return dict(rows=rows, moments=[moment.tolist() for moment in moments])


# trained models


def _runs(opened: List[OpenedRun], args: argparse.Namespace, parts: Parts) -> Rows:
    rows, numbers = [], {}
    names = [part_name(run, args.layer, args.split, args.max_samples, start=True) for run in opened]
    check_ends([run for run, name in zip(opened, names) if name not in parts][1:])  # the first is looked at next
    first_of: Dict[str, Tuple[OpenedRun, List[float]]] = {}
    for run, name in track([*zip(opened, names)], 'runs'):
        found = parts.get(name, partial(_look, run, args))
        _refuse_unlike((run, found[0]['sigma']), first_of.setdefault(run.label, (run, found[0]['sigma'])))
        number = numbers[run.label] = numbers.get(run.label, -1) + 1
        if len(found) == 1:
            print(f'{run.name}: its config has no randomness.seed, so its start and what changed since are not known. They '
                  'are left out.', file=sys.stderr)
        rows += [dict(row, label=run.label, number=str(number), checkpoint=str(run.checkpoint)) for row in found]
    return rows


def _refuse_unlike(run: Tuple[OpenedRun, List[float]], first: Tuple[OpenedRun, List[float]]) -> None:
    """Raise ValueError if eigenvalues of two runs of a label, square roots each, are not as many, so that none are pairs."""
    here, there = (sum(value > 0 for value in sigma) for _, sigma in (run, first))
    if here != there:
        raise ValueError(f'{run[0].name}: the patches that its first layer sees have {here} different eigenvalues above 0, '
                         f'and those of {first[0].name} {there}; expected as many in all runs of a label, whose transfer '
                         'functions are averaged. Give these runs labels of their own, or more images: --max-samples.')


def _look(run: OpenedRun, args: argparse.Namespace) -> Rows:
    """Rows of a run's first layer: at the start, at the end, and of the change; of the end alone without a known start."""
    end = run.at_end(args.device)
    refuse_diverged(run.name, end)
    layer = first_layer(end, args.layer, run.name)
    try:
        spaces = eigenspaces(_covariance(run, end, layer, args))
    except ValueError as error:
        raise ValueError(f'{run.name}, {args.split} split: {error}') from None
    looked = [('end', WEIGHTS, _rows_of(layer))]
    if (run.cfg.get('randomness') or {}).get('seed') is not None:
        began = run.at_start(args.device)
        refuse_diverged(f'{run.name}, its start', began)  # from a checkpoint that had
        start = _rows_of(first_layer(began, args.layer, run.name))
        looked = [('start', WEIGHTS, start), *looked, ('end', CHANGE, looked[0][2] - start)]
    return [dict(at=at, what=what, **_measured(second_moment(weights), spaces, args)) for at, what, weights in looked]


@torch.no_grad()
def _covariance(run: OpenedRun, model: nn.Module, layer: nn.Conv2d, args: argparse.Namespace) -> Tensor:
    """Of the patches that a run's first layer sees; padding beside images is none."""
    moments = PatchMoments(layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    for loaded in run.images(args.split, args.max_samples, args.batch_size):
        for images, samples in stackable(model, *loaded, training=True):
            inputs = preprocess(model, images, samples, training=True)['inputs']
            if inputs.shape[1] != layer.in_channels:
                raise ValueError(f'--layer {args.layer} takes {layer.in_channels} channels, and images have '
                                 f'{inputs.shape[1]}. Name the layer that sees the images.')
            for seen in without_padding(inputs, samples):
                moments.add(seen.cpu())
    return moments.covariance()


def first_layer(model: nn.Module, name: str, label: str) -> nn.Conv2d:
    """The convolution that sees the images.

    Args:
        model: The model.
        name: Of the convolution.
        label: What figures call the model.

    Raises:
        ValueError: If the model has no convolution of that name whose filters see all channels.
    """
    convolutions = [key for key, module in model.named_modules() if isinstance(module, nn.Conv2d) and module.groups == 1]
    if name not in convolutions:
        there = ', '.join(convolutions[:4]) + (', ...' if len(convolutions) > 4 else '')
        raise ValueError(f'{label}: --layer {name} is no convolution of its model; there are {there or "none"}. Name the '
                         'one that sees the images.')
    layer = model.get_submodule(name)
    if isinstance(layer.padding, str):
        raise ValueError(f'{label}: --layer {name} has padding={layer.padding!r}; expected pixels. Name another.')
    return layer


def _rows_of(layer: nn.Conv2d) -> Tensor:
    return layer.weight.detach().flatten(1).double().cpu()


# numbers


def _measured(moment: Tensor, spaces: Eigenspaces, args: argparse.Namespace) -> Dict[str, Any]:
    """All that is said of a covariance of weights; the points of its transfer function too."""
    sigma, tau = spaces.values.sqrt().tolist(), transfer(moment, spaces).tolist()
    values = (*align(moment, spaces, args.rotations, args.seed), *smoothness(sigma, tau, seed=args.seed))
    return dict(zip(_MEASURES, values), sigma=sigma, size=spaces.sizes.tolist(), tau=tau)


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean over the networks, or the runs of a label, at the start and at the end; of a gap in one there is none."""
    ends = {label: {'start', 'end'} if label != NETWORK else {rows['at'].iloc[0], rows['at'].iloc[-1]}
            for label, rows in frame.groupby('label')}
    kept = frame[[row.at in ends[row.label] for row in frame.itertuples()]]
    kept = kept.assign(label=kept['label'] + np.where(kept['number'] == 'all', ', all together', ''))
    groups = kept.groupby(['label', 'at', 'what'], sort=False)
    columns = [name for pair in _SHOWN for name in pair if name]
    mean, spread = (of_all(groups[columns], measure) for measure in ('mean', 'std'))
    nothing = mean['rank'] * np.nan
    cells = {name: [_cell(*values) for values in zip(mean[name], spread[name], mean.get(chance, nothing))]
             for name, chance in _SHOWN}
    return pd.DataFrame({'n': groups.size(), **cells}).reset_index()


def _cell(value: float, spread: float, chance: float) -> str:
    parts = f'{value:.3f}', f' ± {spread:.3f}' if spread == spread else '', f' ({chance:.3f})' if chance == chance else ''
    return '-' if value != value else ''.join(parts)


def verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """For each label, by how much alignment has risen, and how smooth the transfer function is, with 95% intervals.

    Args:
        frame: ``label, number, at, what, alignment, high, smooth, smooth_p``: rows of networks and runs.

    Returns:
        DataFrame: One row for each label. ``smooth in`` counts those that are smoother than 95% of permutations. Where some
        have no value, it is said of how many a mean is.
    """
    rows, one_each = [], frame[(frame['number'] != 'all') & (frame['what'] == WEIGHTS)]
    for label, own in one_each.groupby('label', sort=False):
        ends = (own['at'].iloc[0], own['at'].iloc[-1]) if label == NETWORK else ('start', 'end')
        first, last = (own[own['at'] == at].set_index('number') for at in ends)
        before = first['alignment'].reindex(last.index)  # of a run whose start is not known, a gap
        rise = (last['alignment'] - before).dropna()
        low, high = mean_interval(rise)
        rows.append({
            'label': label, 'n': len(last), 'start': before.mean(skipna=False),
            'end': last['alignment'].mean(skipna=False), 'rise': _with_interval(rise, len(last)),
            'it': _said(low, high, last['alignment'].mean() > last['high'].mean()),
            'R2': _with_interval(last['smooth'], len(last)),
            'smooth in': f'{int((last["smooth_p"] < 0.05).sum())} of {last["smooth_p"].count()}'})
    return pd.DataFrame(rows)


def _said(low: float, high: float, above_chance: bool) -> str:
    if low != low:  # one alone tells nothing of the spread
        return '-'
    if low > 0:
        return 'rises' if above_chance else 'rises, but not above 95% of rotations'
    return 'falls' if high < 0 else 'cannot be told'


def _with_interval(values: pd.Series, whole: int) -> str:
    """The mean of values that are there, its interval where there are two, and their number where it is not the whole."""
    (low, high), number = mean_interval(values), values.count()
    if not number:
        return '-'
    return ''.join([f'{values.mean():.3f}', f' [{low:.3f}, {high:.3f}]' if low == low else '',
                    f' ({number} of {whole})' if number < whole else ''])
