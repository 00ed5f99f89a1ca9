"""Separability of trained models' features: measured, tabled and drawn."""
import argparse
import sys
from functools import partial
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import pandas as pd

from lbbt_mm.analysis.separability import MEASURES, check_points, cluster, embed, measure, spread_of, standardise
from .canvas import COLORS, MARKERS, Canvas
from .features import check_labels, check_stage, part_name, read_features
from .numbers import of_all, print_numbers, write_numbers
from .parts import Parts
from .progress import track
from .run_names import one_of
from .trained import OpenedRun, open_runs

#: Panels side by side
_COLUMNS = 4
#: More classes than these are not named in the legend
_NAMED = 20
_SETTINGS = ('stage', 'scale', 'split', 'max_samples', 'batch_size', 'device', 'seed', 'perplexity', 'neighbours',
             'permutations')
_COLOURED = {'true': 'true classes', 'clusters': "the plane's own clusters"}

Part = Dict[str, Any]
#: By label and stage, see :func:`measure_runs`
Planes = Dict[Tuple[str, str], Optional[Part]]


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    frame, planes = measure_runs(args)
    write_numbers(frame, args.out, 'separability')
    several = frame.groupby('label').checkpoint.nunique().to_dict()
    draw(planes, list(dict.fromkeys(args.colors)), several).save(args.out, 'separability')
    table, where = summarise_runs(frame), ['label', 'at', 'space']
    title = 'Separability by the true labels; in brackets by permuted ones; ± standard deviation over the runs'
    print_numbers(table[[*where, 'runs', *MEASURES]], title, where)
    print_numbers(table[[*where, 'silhouette of clusters', 'spread']], 'Without labels', where)


def measure_runs(args: argparse.Namespace) -> Tuple[pd.DataFrame, Planes]:
    """Numbers of each run at its start and end, and the planes of the first run of each label that has numbers.

    Args:
        args: The command line.

    Returns:
        tuple: A row for each run, its start or end, and space; a run without numbers has gaps there, and this is said. And
        (label, ``start`` or ``end``) -> ``plane`` ``(N, 2)``, ``labels`` and ``clusters`` ``(N, )``, ``numbers``; or None.

    Raises:
        ValueError: If no run has numbers.
    """
    opened = open_runs(args)
    parts = Parts(args.out / 'separability.parts.json', {name: getattr(args, name) for name in _SETTINGS})
    for run in opened:
        if any(part_name(run, at, start=at == 'start') not in parts for at in args.at):
            check_labels(run, args.split)
    rows, planes, problems = [], {}, []
    for run, at in track([(run, at) for run in opened for at in dict.fromkeys(args.at)], 'models'):
        found = parts.get(part_name(run, at, start=at == 'start'), partial(_measure, run, at, args))
        if 'problem' in found:
            problems.append(f'{run.name}, {at} of training: {found["problem"]}')
            print(f'{problems[-1]} It is left out.', file=sys.stderr)
        else:
            planes[run.label, at] = planes.get((run.label, at)) or found
        planes.setdefault((run.label, at), None)
        shared = dict(label=run.label, checkpoint=str(run.checkpoint), at=at, spread=found['spread'])
        rows += [dict(shared, space=space, **numbers) for space, numbers in found['numbers'].items()]
    if not any(planes.values()):
        raise ValueError(problems[0])
    return pd.DataFrame(rows), planes


def _measure(run: OpenedRun, at: str, args: argparse.Namespace) -> Part:
    """Numbers of a model in its features and in their plane; or why there are none."""
    check = partial(check_stage, stage=args.stage)
    model = run.at_start(args.device, check) if at == 'start' else run.at_end(args.device)
    features, labels = read_features(run, model, args.split, args.max_samples, args.batch_size, args.stage)
    features, labels = features.numpy(), labels.numpy()
    try:
        check_points(features, labels, args.perplexity, args.neighbours)
    except ValueError as error:
        raise ValueError(f'{run.name}, {args.split} split: {error}') from None
    spread = spread_of(features)
    try:
        scaled = standardise(features)
    except ValueError as error:
        return dict(problem=str(error), spread=spread, numbers={space: {} for space in ('features', 'plane')})
    features = scaled if args.scale == 'standard' else features.astype(np.float64)
    plane, classes = embed(features, args.perplexity, args.seed), len(np.unique(labels))
    numbers, clusters = {}, None
    for space, points in (('features', features), ('plane', plane)):
        clusters = cluster(points, classes, args.seed)
        numbers[space] = dict(samples=len(points), classes=classes, **measure(
            points, labels, clusters, args.neighbours, args.permutations, args.seed))
    return dict(spread=spread, numbers=numbers, plane=plane.tolist(), labels=labels.tolist(), clusters=clusters.tolist())


def summarise_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean over the runs of a label; of a gap in one there is none."""
    groups = frame.groupby(['label', 'at', 'space'], sort=False)
    numbers = [*frame.columns.drop(['label', 'checkpoint', 'at', 'space'])]
    mean, spread = (of_all(groups[numbers], measure) for measure in ('mean', 'std'))
    count = groups.size()

    def cells(name: str) -> List[str]:
        return ['-' if value != value else f'{value:.3f}' + (f'±{std:.3f}' if std == std else '')
                for value, std in zip(mean[name], spread[name])]

    columns = {name: [f'{cell} ({permuted:.3f})' if permuted == permuted else cell
                      for cell, permuted in zip(cells(name), mean[f'{name}_permuted'])] for name in MEASURES}
    table = pd.DataFrame({'runs': count, **columns, 'silhouette of clusters': cells('silhouette_of_clusters'),
                          'spread': cells('spread')})
    return table.reset_index()


def draw(planes: Planes, colors: List[str], several: Mapping[str, int] = {}) -> Canvas:
    """The planes, a panel for each, in the colours of classes or of clusters.

    Args:
        planes: What :func:`measure_runs` returns.
        colors: ``true``, ``clusters`` or both.
        several: Label -> how many runs it has, of which one is drawn. Defaults to one each.
    """
    names = list(dict.fromkeys(label for label, _ in planes))
    stages = [at for at in ('start', 'end') if any(found == at for _, found in planes)]
    chunks = [names[first:first + _COLUMNS] for first in range(0, len(names), _COLUMNS)]
    rows = [(chunk, at, color) for chunk in chunks for at in stages for color in colors]
    columns = len(chunks[0])
    canvas = Canvas(len(rows), columns, height=1.9, width=max(3.35, 6.9 * columns / _COLUMNS))
    for axes_of_row, (chunk, at, color) in zip(canvas.axes, rows):
        for axes in axes_of_row[len(chunk):]:
            axes.set_visible(False)
        for axes, label in zip(axes_of_row, chunk):
            _panel(axes, planes.get((label, at)), color, f'{label}, {at}' + one_of(several.get(label, 1)))
        axes_of_row[0].set_ylabel(f't-SNE; colours:\n{_COLOURED[color]}')
    _explain(canvas, next(part for part in planes.values() if part), colors)
    return canvas


def _explain(canvas: Canvas, plane: Part, colors: List[str]) -> None:
    """Name classes and clusters, unless they are many."""
    classes = np.unique(plane['labels'])
    if len(classes) > _NAMED:
        return
    what = ' or '.join({'true': 'class', 'clusters': 'cluster'}[color] for color in colors)
    points = [canvas.axes[0][0].scatter([], [], s=14, **_look(number)) for number in range(len(classes))]
    canvas.legend(points, [f'{what} 0', *map(str, range(1, len(classes)))], columns=10 if canvas.axes.shape[1] > 2 else 5)


def _look(number: int) -> Dict[str, Any]:
    """Colours first, then, where they are used up, another marker."""
    return dict(color=COLORS[number % len(COLORS)], marker=MARKERS[number // len(COLORS) % len(MARKERS)], linewidths=0)


def _panel(axes: Any, plane: Optional[Part], color: str, title: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_aspect('equal', 'datalim')
    axes.set_title(title, fontsize=7)
    if plane is None:
        axes.text(0.5, 0.5, 'no numbers:\nsee the log', ha='center', va='center', transform=axes.transAxes)
        return
    points, numbers = np.array(plane['plane']), plane['numbers']['plane']
    groups = np.unique(plane['labels'], return_inverse=True)[1] if color == 'true' else np.array(plane['clusters'])
    for number in np.unique(groups):
        axes.scatter(*points[groups == number].T, s=3, **_look(int(number)))
    axes.set_xlabel(f'NMI {numbers["nmi"]:.2f} (permuted {numbers["nmi_permuted"]:.2f})', fontsize=7)
