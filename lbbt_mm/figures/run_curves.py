"""Curves of runs, read from their logs."""
import argparse
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import pandas as pd

from lbbt_mm.files.run_records import (MAIN_LOSS, Record, comparable_loss, curve, in_validation, loss_is_finite,
                                       read_records, validation_is_finite, validation_metrics)
from .arguments import labelled_folder
from .curve_panels import Panel, band, draw_curves
from .numbers import print_numbers, write_numbers


class LoggedRun(NamedTuple):
    """What a run has logged.

    Attributes:
        label: What it is called; seeds of one arm share it.
        seed: Its number among those of its label.
        folder: Where it is.
        records: Its scalars, see :func:`~lbbt_mm.files.run_records.read_records`.
        diverged: Whether it diverged.
    """
    label: str
    seed: int
    folder: Path
    records: Dict[str, List[Record]]
    diverged: bool

    def curve(self, metric: str) -> List[Tuple[int, float]]:
        """A metric over the steps; a run with one path alone has its ``loss`` in place of the main path's."""
        return curve(self.records, comparable_loss(self.records) if metric == MAIN_LOSS else metric)

    @property
    def name(self) -> str:
        """How messages call it."""
        return f'{self.label} ({self.folder})'

    def unit(self, metric: str) -> str:
        """What the steps of a metric count: the training's are iterations, and validations have no more than epochs."""
        train, val = self.records['train'], self.records['val']
        epochs = train[-1].get('epoch') if train else None
        by_epoch = epochs is not None and val and val[-1]['step'] <= epochs
        return 'epoch' if in_validation(self.records, metric) and by_epoch else 'iteration'


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    runs = read_runs(args.runs)
    metrics = list(dict.fromkeys(args.metrics)) or default_metrics(runs)
    panels = {metric: make_panel(runs, metric) for metric in metrics}
    folders = {(run.label, run.seed): str(run.folder) for run in runs}
    tables = [panel.curves.assign(metric=metric, unit=panel.unit) for metric, panel in panels.items()]
    points = pd.concat(tables, ignore_index=True)
    points['run'] = [folders[key] for key in zip(points['arm'], points['seed'])]
    write_numbers(points.rename(columns=dict(arm='label')), args.out, 'curves')
    draw_curves(panels).save(args.out, 'curves')
    print_numbers(summarise(runs, panels), 'Last values; mean and standard deviation over the runs that came as far as the '
                  'last of their label', ['metric', 'label', 'unit', 'not shown'])


def read_runs(texts: Sequence[str]) -> List[LoggedRun]:
    """Read the logs of runs.

    Args:
        texts: ``[LABEL=]RUN``, as the command line has them.

    Raises:
        argparse.ArgumentTypeError: If a label cannot be shown.
        ValueError: If one is no folder with logs, or is named twice.
    """
    runs: List[LoggedRun] = []
    for text in texts:
        label, folder = labelled_folder(text)
        records = read_records(folder)
        if not records['train'] and not records['val']:
            raise ValueError(f'{folder}: has no records in */vis_data/scalars.json; expected the folder of a run that has '
                             'logged. Correct the path.')
        if folder.resolve() in [run.folder.resolve() for run in runs]:
            raise ValueError(f'{folder} is named twice. Name each run once.')
        done = folder / 'done'
        said = done.is_file() and done.read_text(errors='replace').strip() == 'diverged'
        diverged = said or not loss_is_finite(records) or not validation_is_finite(records)
        runs.append(LoggedRun(label, sum(run.label == label for run in runs), folder, records, diverged))
    return runs


def default_metrics(runs: Sequence[LoggedRun]) -> List[str]:
    """The loss, of auxiliary training the main path's, and what the last validations of the runs measured."""
    losses = [comparable_loss(run.records) for run in runs if curve(run.records, 'loss')]
    found = [MAIN_LOSS if MAIN_LOSS in losses else 'loss'] * bool(losses)
    return list(dict.fromkeys([*found, *(name for run in runs for name in validation_metrics(run.records))]))


def make_panel(runs: Sequence[LoggedRun], metric: str) -> Panel:
    """A metric of several runs.

    Args:
        runs: The runs.
        metric: Its name.

    Raises:
        ValueError: If no run has it, or if runs count its steps in different units.
    """
    having = [run for run in runs if run.curve(metric)]
    if not having:
        there = {name for run in runs for kind in run.records.values() for record in kind for name in record}
        raise ValueError(f'--metric {metric}: no run has it; there are: {", ".join(sorted(there))}. Correct it.')
    units = {run.unit(metric): run for run in having}
    if len(units) > 1:
        said = ' and '.join(f'{unit}s in {run.name}' for unit, run in units.items())
        raise ValueError(f'{metric}: its steps count {said}; expected one unit. Draw these runs apart.')
    rows = [(run.label, run.seed, *point) for run in having for point in run.curve(metric)]
    curves = pd.DataFrame(rows, columns=['arm', 'seed', 'step', 'value'])
    curves['value'] = pd.to_numeric(curves['value'], errors='coerce')
    kept = band(curves)['arm'].unique()
    absent = [f'not logged: {_counted(runs, [run for run in runs if run not in having])}'] * (len(having) < len(runs))
    if metric == MAIN_LOSS:
        plain = [run for run in having if comparable_loss(run.records) != metric]
        absent += [f'loss of the one path: {_counted(runs, plain)}'] * bool(plain)
    empty = [run for run in having if run.label not in kept]
    absent += [f'no finite value: {_counted(runs, empty)}'] * bool(empty)
    return Panel(curves, next(iter(units)), [(run.label, run.seed) for run in having if run.diverged], '; '.join(absent))


def _counted(runs: Sequence[LoggedRun], some: Sequence[LoggedRun]) -> str:
    """Labels of some of the runs, with how many of each label where it is not all."""
    labels = dict.fromkeys(run.label for run in some)
    numbers = {label: [sum(run.label == label for run in group) for group in (some, runs)] for label in labels}
    return ', '.join(label + (f' ({part} of {whole})' if part < whole else '') for label, (part, whole) in numbers.items())


def summarise(runs: Sequence[LoggedRun], panels: Dict[str, Panel]) -> pd.DataFrame:
    """One row for each metric and label: how many runs, how far they came, their last values, how many diverged."""
    rows = []
    for metric, panel in panels.items():
        table = band(panel.curves)
        for label in dict.fromkeys(run.label for run in runs):
            last = table[table['arm'] == label].tail(1)
            row = last.iloc[0] if len(last) else pd.Series(dict(step='-', n=0, mean=float('nan'), std=float('nan')))
            rows.append({
                'metric': metric, 'label': label, 'runs': sum(run.label == label for run in runs), 'unit': panel.unit,
                'last step': row['step'], 'n': int(row['n']), 'mean': float(row['mean']),
                'std': float(row['std']) if row['n'] > 1 else float('nan'),
                'diverged': sum(run.label == label and run.diverged for run in runs)})
    return pd.DataFrame(rows)
