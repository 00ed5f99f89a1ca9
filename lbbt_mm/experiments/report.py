"""What ``compare_arms.py`` shows and writes: tables, ``results.csv``, ``summary.csv``, ``summary.md`` and ``curves.png``."""
import math
from typing import List, Mapping, Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from lbbt_mm.files.whole_files import write_whole
from .curves import Panel, draw_curves
from .plan import ArmExperiment, ArmRun, Setting
from .statistics import status_column, summarize_arms

CONFIDENCE = 0.95
#: The files that are written into the experiment's folder.
RESULTS = ('results.csv', 'summary.csv', 'summary.md', 'curves.png', 'curves.csv')


def report(experiment: ArmExperiment, settings: Mapping[str, Setting], console: Console) -> None:
    """Show and write what there is so far.

    Args:
        experiment: The experiment.
        settings: The setting of each arm; arms that have none yet are left out.
        console: Where the tables go.

    Raises:
        ValueError: If runs have finished and lack a metric that was asked for; only ``results.csv`` is written then.
    """
    compared = experiment.comparison(settings)
    runs = list(dict.fromkeys([*experiment.sweep(), *compared]))
    write_results(experiment, runs)
    if not compared:
        console.print(f'No setting is chosen yet; the sweep so far is in {experiment.out / "results.csv"}',
                      soft_wrap=True)
        return
    ours = experiment.results(compared)
    metrics = experiment.validation_metrics(compared)
    unknown = [metric for metric in metrics if metric not in ours]
    wrong = [metric for metric in unknown if (ours[status_column(ours, metric)] == 'finished').any()]
    if wrong:
        names = [name for name in ours if name not in ('arm', 'seed', 'lr', 'init_std') and not name.endswith('status')]
        raise ValueError(f'--metric {" ".join(wrong)}: no run that finished has it; there are: '
                         f'{", ".join(names) or "none"}. Correct it and add --report-only: the runs are kept, and no '
                         'table or curve was written.')
    notes = rule_notes(experiment, settings)
    if not metrics:
        notes.append('No run has a metric of a validation. Give --metric, for example --metric loss.')
    summary = summarize_arms(ours, metrics, experiment.baseline, CONFIDENCE)
    console.print(rich_table(metrics, summary, ours, experiment))
    for verdict in verdicts(metrics, summary, experiment.baseline):
        console.print(verdict, soft_wrap=True, highlight=False)
    for note in notes:
        console.print(note, soft_wrap=True, highlight=False)
    write_whole(experiment.out / 'summary.csv', summary.to_csv(index=False))
    write_whole(experiment.out / 'summary.md', markdown(metrics, summary, ours, experiment, notes))
    draw(experiment, compared, metrics)
    console.print(f'Runs: {experiment.out / "results.csv"}\nSummary: {experiment.out / "summary.md"} and .csv\n'
                  f'Curves: {experiment.out / "curves.png"} and .csv', soft_wrap=True, highlight=False)


def write_results(experiment: ArmExperiment, runs: Sequence[ArmRun]) -> None:
    """Write ``results.csv``, a row a run."""
    write_whole(experiment.out / 'results.csv', experiment.results(runs).to_csv(index=False))


def rule_notes(experiment: ArmExperiment, settings: Mapping[str, Setting]) -> List[str]:
    """How the settings were chosen, and what to beware of."""
    notes = [f'Seeds {", ".join(map(str, experiment.seeds))}. Differences are paired by seed; their interval is that of the '
             f'paired t statistic at {CONFIDENCE:.0%}. Mean, standard deviation and n are of the runs that finished.']
    better = f'{"lowest" if experiment.lower else "highest"} {experiment.selector or "metric"}'
    warnings = [f'Warning: {warning}' for warning in experiment.edge_warnings(settings)]
    failed = [run.name for run in experiment.sweep() if experiment.training(run).status == 'failed']
    if failed:
        warnings.append(f'Warning: The sweep is without {", ".join(failed)}, which failed.')
    tried = ', '.join(f'{std:g}' for std in experiment.init_stds)
    for arm, setting in settings.items():
        if setting.init_std is not None:
            notes.insert(0, f'{arm} is drawn with standard deviation {setting.init_std:g}, the best of {tried} (seed '
                         f'{experiment.seeds[0]}, {better}).')
    if len(experiment.lrs) < 2:
        source = '--lrs' if experiment.lrs else 'the config'
        return [f'Learning rate: the same for every arm, from {source}.', *warnings, *notes]
    rates = ', '.join(f'{lr:g}' for lr in experiment.lrs)
    scope = (f'arm {experiment.baseline}, and given to every arm' if experiment.lr_rule == 'baseline'
             else 'each arm for itself')
    return [f'Learning rate, rule {experiment.lr_rule}: the best of {rates} (seed {experiment.seeds[0]}, {better}) on '
            f'{scope}. Seed {experiment.seeds[0]}, which chose it, is also among the compared seeds.',
            *warnings, *notes]


def verdicts(metrics: Sequence[str], summary: pd.DataFrame, baseline: str) -> List[str]:
    """A sentence for each metric and arm: the difference to the baseline, and whether the seeds tell the two apart.

    Args:
        metrics: Which metrics.
        summary: What :func:`~lbbt_mm.experiments.statistics.summarize_arms` gave.
        baseline: The arm that the others are compared with.
    """
    said = []
    for metric in metrics:
        for row in summary[(summary['metric'] == metric) & (summary['arm'] != baseline)].itertuples():
            if math.isnan(row.difference):
                continue
            if math.isnan(row.low):
                said.append(f'{metric}: {row.arm} - {baseline}: {number(row.difference, sign=True)}; one seed tells nothing '
                            'of the spread.')
                continue
            apart = row.low > 0 or row.high < 0
            said.append(f'{metric}: {row.arm} - {baseline}: {number(row.difference, sign=True)} '
                        f'[{number(row.low, sign=True)}, {number(row.high, sign=True)}], '
                        f'{"told apart" if apart else "not told apart"} by {row.pairs} seeds.')
    return said


def rich_table(metrics: Sequence[str], summary: pd.DataFrame, results: pd.DataFrame, experiment: ArmExperiment) -> Table:
    """One table, a section a metric."""
    table = Table(title=experiment.config.name)
    for name in ('metric', *header(experiment)):
        table.add_column(name, justify='left' if name in ('metric', 'arm', 'runs') else 'right')
    for metric in metrics:
        table.add_section()
        for index, row in enumerate(rows(metric, summary, results)):
            table.add_row('' if index else metric, *row)
    return table


def markdown(metrics: Sequence[str], summary: pd.DataFrame, results: pd.DataFrame, experiment: ArmExperiment,
             notes: Sequence[str]) -> str:
    """The same tables as Markdown."""
    lines = [f'# {experiment.config.name}: {", ".join(experiment.arms)}', '']
    notes = [*verdicts(metrics, summary, experiment.baseline), *notes]
    names = header(experiment)
    for metric in metrics:
        lines += [f'## {metric}', '', f'| {" | ".join(names)} |', f'|{"---|" * len(names)}']
        lines += [f'| {" | ".join(row)} |' for row in rows(metric, summary, results)] + ['']
    return '\n'.join([*lines, *(f'- {note}' for note in notes), ''])


def header(experiment: ArmExperiment) -> List[str]:
    """Names of the tables' columns."""
    return ['arm', 'lr', 'n', 'mean', 'std', f'minus {experiment.baseline}', f'{CONFIDENCE:.0%} interval', 'runs']


def rows(metric: str, summary: pd.DataFrame, results: pd.DataFrame) -> List[List[str]]:
    """The cells of a metric's table, a list an arm."""
    cells = []
    for row in summary[summary['metric'] == metric].itertuples():
        status = results.loc[results['arm'] == row.arm, status_column(results, metric)]
        pairs = f' ({row.pairs} of {row.n} paired)' if 0 < row.pairs < row.n else ''
        interval = '-' if math.isnan(row.low) else f'[{number(row.low, sign=True)}, {number(row.high, sign=True)}]'
        cells.append([row.arm, '-' if math.isnan(row.lr) else f'{row.lr:g}', str(row.n), number(row.mean), number(row.std),
                      f'{number(row.difference, sign=True)}{pairs}', interval, outcome(status)])
    return cells


def outcome(status: pd.Series) -> str:
    """How an arm's runs ended, in words: ``finished``, or ``diverged 1/3`` and the like."""
    counts = status.value_counts()
    odd = [f'{word} {count}/{len(status)}' for word, count in counts.items() if word != 'finished']
    return ', '.join(odd) or 'finished'


def number(value: float, sign: bool = False) -> str:
    """A number with four significant digits; ``-`` for none."""
    if value is None or math.isnan(value):
        return '-'
    return f'{value:{"+" if sign else ""}.4g}'


def draw(experiment: ArmExperiment, runs: Sequence[ArmRun], metrics: Sequence[str]) -> None:
    """Draw each metric and each stage's training loss over training; the points go into ``curves.csv``."""
    panels, points = {}, []
    losses = ['loss', *(f'{probe.stem}/loss' for probe in experiment.probes)]
    for metric in dict.fromkeys([*metrics, *losses]):
        curves, unit = experiment.curves(runs, metric)
        if len(curves):
            name = f'{metric} (training)' if metric in losses else metric
            panels[name] = Panel(curves, unit)
            points.append(curves.assign(metric=metric))
    if panels:
        draw_curves(panels, experiment.out / 'curves.png')
        write_whole(experiment.out / 'curves.csv', pd.concat(points).to_csv(index=False))
