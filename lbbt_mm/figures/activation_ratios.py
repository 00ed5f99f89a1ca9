"""Neuron activation ratios of trained models: measured, tabled and drawn."""
import argparse
import sys
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pandas as pd
import torch
from torch import nn

from lbbt_mm.analysis.activation import ActivationRatio, control_images
from lbbt_mm.config_keys import get_key
from lbbt_mm.models.blocks import measured_blocks
from lbbt_mm.models.layers.block_watch import BlockWatch
from .canvas import Canvas, styles
from .features import part_name
from .image_sizes import stackable
from .numbers import of_all, print_numbers, write_numbers
from .parts import Parts
from .progress import track
from .preprocessing import preprocess
from .trained import OpenedRun, open_runs

_NUMBERS = ['ratio', 'always', 'never', 'between_images']
#: What the axes call the kinds of images
_IMAGES = {'pixels': 'shuffled pixels', 'noise': 'noise images', 'constant': 'mean colours'}


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    controls = [kind for kind in dict.fromkeys(args.control) if kind != 'none']
    frame = measure(args, ['real', *controls])
    write_numbers(frame, args.out, 'activation')
    draw(frame, controls[:1]).save(args.out, 'activation')
    title = f'Activation ratio ({args.variant}), mean over the blocks, ± standard deviation over the runs'
    print_numbers(summarise_runs(frame), title, ['label', 'at', 'images'])


def measure(args: argparse.Namespace, kinds: List[str]) -> pd.DataFrame:
    """Numbers of each run, at its start and end, on each kind of images, by block.

    Args:
        args: The command line.
        kinds: Some of :data:`lbbt_mm.analysis.activation.IMAGES`.

    Returns:
        DataFrame: A row for each block; a block that did not run, or is not finite, has no numbers, and this is said.

    Raises:
        ValueError: If runs of a label have other blocks, or no block of a run has run.
    """
    opened = open_runs(args)
    names = ('variant', 'units', 'module', 'split', 'max_samples', 'batch_size', 'device', 'seed')
    parts = Parts(args.out / 'activation.parts.json', {name: getattr(args, name) for name in names})
    rows = []
    for run in opened if args.module is None else ():
        if isinstance(get_key(run.cfg, 'model.rectifier'), dict):
            print(f"{run.name}: measured are the blocks of its backbone. For the rectifier's own: --module 'rectifier.*'.",
                  file=sys.stderr)
    _refuse_unlike(opened, args.at[0], kinds[0], parts, args.module)
    for run, at in track([(run, at) for run in opened for at in dict.fromkeys(args.at)], 'models'):
        keys = {kind: part_name(run, at, kind, start=at == 'start') for kind in kinds}
        model = None
        if any(key not in parts for key in keys.values()):
            check = partial(measured_blocks, pattern=args.module)
            model = run.at_start(args.device, check) if at == 'start' else run.at_end(args.device)
        for kind, key in keys.items():
            found = parts.get(key, partial(_blocks, run, model, kind, args))
            shared = dict(label=run.label, checkpoint=str(run.checkpoint), at=at, variant=args.variant, units=args.units,
                          images=kind)
            rows += [dict(shared, **row) for row in found]
        _say_of_gaps(run, at, [dict(row, images=kind) for kind, key in keys.items() for row in parts.get(key, list)])
    return pd.DataFrame(rows)


def _refuse_unlike(opened: Sequence[OpenedRun], at: str, kind: str, parts: Parts, pattern: Optional[str]) -> None:
    """Raise ValueError if runs of a label have other blocks, or not as many."""
    first: Dict[str, Tuple[OpenedRun, List[str]]] = {}
    labels = [run.label for run in opened]
    for run in [run for run in opened if labels.count(run.label) > 1]:
        done = part_name(run, at, kind, start=at == 'start')
        known = done in parts
        blocks = [row['block'] for row in parts.get(done, list)] if known else [*measured_blocks(run.build(), pattern)]
        other, expected = first.setdefault(run.label, (run, blocks))
        if blocks != expected:
            here, there = (f'{len(names)} blocks, {names[0]} to {names[-1]}' for names in (blocks, expected))
            raise ValueError(f'{run.name}: has {here}, and {other.name} has {there}; expected the same in all runs of a '
                             'label, which are averaged block by block. Give these runs labels of their own.')


def _say_of_gaps(run: OpenedRun, at: str, rows: Sequence[Dict[str, Any]]) -> None:
    """Print which blocks have no number, and why."""
    reasons: Dict[Tuple[str, str], Dict[str, None]] = {}
    for row in rows:
        if not row['samples']:
            what, why = 'number', 'which did not run.'
        elif row['ratio'] != row['ratio']:
            what, why = 'number', 'whose activations are not finite: the run has diverged. Give an earlier checkpoint.'
        elif row['between_images'] != row['between_images']:
            what, why = f'between_images ({row["images"]})', 'where no pair of an image and a neuron differs.'
        else:
            continue
        reasons.setdefault((what, why), {})[row['block']] = None
    for (what, why), names in reasons.items():
        print(f'{run.name}, {at}: no {what} for {", ".join(names)}, {why}', file=sys.stderr)


@torch.no_grad()
def _blocks(run: OpenedRun, model: nn.Module, kind: str, args: argparse.Namespace) -> List[Dict[str, Any]]:
    """Numbers of a model's blocks on a kind of images."""
    blocks = measured_blocks(model, args.module)
    ratios = {name: ActivationRatio(args.variant) for name in blocks}
    generator = torch.Generator().manual_seed(args.seed)
    with BlockWatch(blocks, lambda name, units, tokens: ratios[name].add(units, tokens), args.units):
        for images, samples in run.images(args.split, args.max_samples, args.batch_size):
            several = isinstance(images, (list, tuple))  # of different sizes, as in detection
            images = [control_images(image, kind, generator) for image in images] if several else control_images(
                images, kind, generator)
            for part in stackable(model, images, samples):
                model(**preprocess(model, *part), mode='tensor')
    if not any(ratio.images for ratio in ratios.values()):
        raise ValueError(f'{run.name}: none of its blocks {args.module or next(iter(blocks))} ran on an image of the '
                         f'{args.split} split. Give another --module or --split.')
    nothing = dict.fromkeys(_NUMBERS, float('nan'))
    return [dict(block=name, number=number, neurons=len(ratio.rates()) if ratio.images else 0, samples=ratio.images,
                 **(ratio.summary() if ratio.images else nothing)) for number, (name, ratio) in enumerate(ratios.items())]


def summarise_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean over blocks, and over the runs of a label; of a gap in a block or a run there is none.

    Args:
        frame: What :func:`measure` returns.

    Returns:
        DataFrame: A row for each label, stage and kind of images. Blocks that no run of the label has run are no part of its
        mean: ``blocks`` says of how many it is.
    """
    keys = ['label', 'at', 'images']
    ran = frame[frame.groupby([*keys, 'number']).samples.transform('max') > 0]
    of_runs = of_all(ran.groupby([*keys, 'checkpoint'], sort=False)[_NUMBERS], 'mean')
    groups = of_runs.groupby(keys, sort=False)
    mean, spread = of_all(groups, 'mean'), of_all(groups, 'std')
    whole, used = (some.groupby(keys, sort=False).number.nunique() for some in (frame, ran))
    table = pd.DataFrame({
        'runs': groups.size(),
        'blocks': [f'{used[key]}' if used[key] == whole[key] else f'{used[key]} of {whole[key]}' for key in mean.index],
        **{name: ['-' if value != value else f'{value:.3f}' + (f' ± {std:.3f}' if std == std else '')
                  for value, std in zip(mean[name], spread[name])] for name in _NUMBERS}})
    return table.reset_index()


def draw(frame: pd.DataFrame, control: List[str]) -> Canvas:
    """The ratio by block, what of it other images lack, and how much of it differs from image to image.

    Args:
        frame: What :func:`measure` returns.
        control: The kind of the other images, or none.
    """
    keys = ['label', 'at', 'checkpoint', 'number']
    real = frame[frame.images == 'real'].set_index(keys)
    share = f'activated pairs\n(share, {frame.variant.iloc[0]})'
    rows = {share: real.ratio, 'part of its variance\nbetween images': real.between_images}
    for kind in control:
        other = frame[frame.images == kind].set_index(keys).ratio
        rows = {share: real.ratio, f'minus that\non {_IMAGES[kind]}': real.ratio - other, **rows}
    stages, looks = list(dict.fromkeys(frame['at'])), styles(list(dict.fromkeys(frame.label)))
    canvas = Canvas(len(rows), len(stages), height=1.75, sharex=True, sharey='row')
    for axes_of_row, (name, values) in zip(canvas.axes, rows.items()):
        for axes, at in zip(axes_of_row, stages):
            for label, look in looks.items():
                _line(axes, values.xs((label, at), level=('label', 'at')), label, look)
            if name.startswith('minus'):
                axes.axhline(0, color='0.4', linewidth=0.6)
        axes_of_row[0].set_ylabel(name)
    for axes, at in zip(canvas.axes[0], stages):
        axes.set_title(f'{at} of training')
    for axes in canvas.axes[-1]:
        axes.set_xlabel('block')
        axes.xaxis.get_major_locator().set_params(integer=True)
    canvas.legend(columns=4)
    return canvas


def _line(axes: Any, values: pd.Series, label: str, look: Dict[str, Any]) -> None:
    """The mean over runs, and one standard deviation around it where there are several.

    Where some of the runs have no number, each of the others has a thin dotted line instead, as in training curves.
    """
    by_block = values.groupby(level='number')
    mean, spread = of_all(by_block, 'mean'), of_all(by_block, 'std')
    axes.plot(mean.index, mean, label=label, linewidth=1.2, markersize=3, **look)
    axes.fill_between(mean.index, mean - spread, mean + spread, color=look['color'], alpha=0.2, linewidth=0)
    if (mean.isna() & by_block.count().gt(0)).any():
        for _, alone in values.groupby(level='checkpoint'):
            axes.plot(alone.index.get_level_values('number'), alone, linestyle=':', linewidth=0.7, color=look['color'])
