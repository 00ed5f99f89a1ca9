"""What an experiment says so far: tables, verdicts, curves, and the files that hold them."""
import math
from typing import Dict, List, Mapping, NamedTuple, Sequence

import pandas as pd
from rich.console import Console

from lbbt_mm.files.run_records import curve, in_validation
from lbbt_mm.files.whole_files import write_whole
from lbbt_mm.text_table import make_table, markdown_table
from .choose import Choice
from .collect import Outcome
from .curves import Panel, draw_curves
from .plan import Plan, Run
from .statistics import status_column, summarize_arms

CONFIDENCE = 0.95
#: The files that are written into the experiment's folder.
RESULTS = ('results.csv', 'summary.csv', 'summary.md', 'curves.png', 'curves.csv')
#: The paper's names, Tables 1 to 5
_TITLES = {'train/accuracy/top1': 'Train-acc1', 'test/accuracy/top1': 'Test-acc1', 'accuracy/top1': 'Test-acc1'}
_TEXT = ('metric', 'arm', 'runs', 'stage', 'status')


class Report(NamedTuple):
    """What is said about the runs that are compared.

    Attributes:
        metrics: Names of the metrics.
        header: Headings of their tables.
        rows: Metric -> cells, a list an arm.
        summary: What :func:`~lbbt_mm.experiments.statistics.summarize_arms` gave.
        verdicts: Sentences about differences.
        notes: How the settings were chosen, and what to beware of.
        panels: Title -> curves over training.
    """
    metrics: List[str]
    header: List[str]
    rows: Dict[str, List[List[str]]]
    summary: pd.DataFrame
    verdicts: List[str]
    notes: List[str]
    panels: Dict[str, Panel]


def make_report(plan: Plan, collected: Mapping[Run, Outcome], choice: Choice) -> Report:
    """Compare what was collected.

    Raises:
        ValueError: If runs have finished and lack a metric that was asked for.
    """
    runs = plan.comparison(choice.settings)
    results = results_table(plan, collected, runs)
    metrics = list(plan.metrics) or list(dict.fromkeys(name for run in runs for name in collected[run].validated))
    _check_metrics(metrics, results)
    notes = _notes(plan, choice)
    if not metrics:
        notes.append('No run has a metric of a validation. Give --metric, for example --metric loss.')
    tables, said = [], []
    for source in plan.sources:  # an arm is compared with the baseline of its own language model
        own = results[[run.source == source for run in runs]].assign(arm=[run.label for run in runs if run.source == source])
        baseline = source.label(plan.baseline)
        tables.append(summarize_arms(own, metrics, baseline, CONFIDENCE))
        said += verdicts(metrics, tables[-1], baseline)
    summary = pd.concat(tables, ignore_index=True)
    labelled = results.assign(arm=[run.label for run in runs])
    several = len(plan.arms) > 1
    header = ['arm', 'lr', 'n', 'mean', 'std', *([f'minus {plan.baseline}', f'{CONFIDENCE:.0%} interval'] if several else []),
              'runs']
    rows = {metric: [_cells(row, labelled.loc[labelled['arm'] == row.arm, status_column(labelled, metric)], several)
                     for row in summary[summary['metric'] == metric].itertuples()] for metric in metrics}
    return Report(metrics, header, rows, summary, said, notes, _panels(plan, collected, runs, metrics))


def results_table(plan: Plan, collected: Mapping[Run, Outcome], runs: Sequence[Run]) -> pd.DataFrame:
    """A row a run: where it starts, seed, setting, its final metrics by name, how it and its probes ended."""
    rows = []
    for run in dict.fromkeys(runs):
        outcome = collected[run]
        source = dict(source=run.source.name) if len(plan.sources) > 1 else {}
        std = dict(init_std=run.init_std) if any(plan.stds(arm)[0] for arm in plan.arms) else {}
        statuses = {f'{prefix}status': status for prefix, status in outcome.statuses.items()}
        rows.append({**source, 'arm': run.arm, 'seed': run.seed, 'lr': run.lr, **std, **outcome.metrics, **statuses})
    table = pd.DataFrame(rows)
    # a run that has no metrics yet would put its status in front of theirs
    return table[sorted(table, key=lambda name: name.split('/')[-1] == 'status')]


def _check_metrics(metrics: Sequence[str], results: pd.DataFrame) -> None:
    wrong = [metric for metric in metrics
             if metric not in results and (results[status_column(results, metric)] == 'finished').any()]
    if wrong:
        names = [name for name in results
                 if name not in ('source', 'arm', 'seed', 'lr', 'init_std') and not name.endswith('status')]
        raise ValueError(f'--metric {" ".join(wrong)}: no run that finished has it; there are: '
                         f'{", ".join(names) or "none"}. Correct it and add --report-only: the runs are kept, and no '
                         'table or curve was written.')


def _notes(plan: Plan, choice: Choice) -> List[str]:
    """How the settings were chosen, and what to beware of."""
    seed = plan.seeds[0]
    last = (f'Seeds {", ".join(map(str, plan.seeds))}. Differences are paired by seed; their interval is that of the '
            f'paired t statistic at {CONFIDENCE:.0%}. Mean, standard deviation and n are of the runs that finished.')
    better = f'{"lowest" if choice.lower else "highest"} {choice.selector or "metric"}'
    warnings = [f'Warning: {warning}' for warning in choice.warnings()]
    tried = ', '.join(f'{std:g}' for std in plan.init_stds)
    drawn = [f'{label} is drawn with standard deviation {setting.init_std:g}, the best of {tried} (seed {seed}, {better}).'
             for label, setting in choice.settings.items() if setting.init_std is not None]
    if len(plan.lrs) < 2:
        source = '--lrs' if plan.lrs else 'the config'
        return [f'Learning rate: the same for every arm, from {source}.', *warnings, *drawn, last]
    rates = ', '.join(f'{lr:g}' for lr in plan.lrs)
    scope = f'arm {plan.baseline}, and given to every arm' if plan.lr_rule == 'baseline' else 'each arm for itself'
    return [f'Learning rate, rule {plan.lr_rule}: the best of {rates} (seed {seed}, {better}) on {scope}. Seed {seed}, '
            'which chose it, is also among the compared seeds.', *warnings, *drawn, last]


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
            difference = f'{metric}: {row.arm} - {baseline}: {number(row.difference, sign=True)}'
            if math.isnan(row.low):
                said.append(f'{difference}; one seed tells nothing of the spread.')
                continue
            apart = row.low > 0 or row.high < 0
            said.append(f'{difference} {_interval(row)}, {"told apart" if apart else "not told apart"} by {row.pairs} seeds.')
    return said


def _cells(row: NamedTuple, status: pd.Series, several: bool) -> List[str]:
    """An arm's row of a metric's table."""
    pairs = f' ({row.pairs} of {row.n} paired)' if 0 < row.pairs < row.n else ''
    differences = [f'{number(row.difference, sign=True)}{pairs}', _interval(row)] if several else []
    counts = status.value_counts()
    odd = [f'{word} {count}/{len(status)}' for word, count in counts.items() if word != 'finished']
    return [row.arm, '-' if math.isnan(row.lr) else f'{row.lr:g}', str(row.n), number(row.mean), number(row.std),
            *differences, ', '.join(odd) or 'finished']


def _interval(row: NamedTuple) -> str:
    return '-' if math.isnan(row.low) else f'[{number(row.low, sign=True)}, {number(row.high, sign=True)}]'


def number(value: float, sign: bool = False) -> str:
    """A number with four significant digits; ``-`` for none."""
    return '-' if math.isnan(value) else f'{value:{"+" if sign else ""}.4g}'


def _panels(plan: Plan, collected: Mapping[Run, Outcome], runs: Sequence[Run], metrics: Sequence[str]) -> Dict[str, Panel]:
    """Each metric and each stage's training loss over training."""
    losses, panels = [f'{stage.prefix}loss' for stage in plan.stages], {}
    for metric in dict.fromkeys([*metrics, *losses]):
        prefix = next(iter(collected.values())).owner(metric)
        name, points = metric[len(prefix):], []
        unit = next(stage.unit for stage in plan.stages if stage.prefix == prefix)
        for run in runs:
            records = collected[run].stages[prefix].records
            found = curve(records, name)
            unit = unit if not found or in_validation(records, name) else 'iteration'
            points += [(run.label, run.seed, *point) for point in found]
        if points:
            title = f'{metric} (training)' if metric in losses else metric
            panels[title] = Panel(pd.DataFrame(points, columns=['arm', 'seed', 'step', 'value']).assign(metric=metric), unit)
    return panels


def report(plan: Plan, collected: Mapping[Run, Outcome], console: Console) -> None:
    """Show and write what there is so far.

    Args:
        plan: The plan.
        collected: What its runs have written.
        console: Where the tables go.

    Raises:
        ValueError: If runs have finished and lack a metric that was asked for; only ``results.csv`` is written then.
    """
    choice, out = Choice(plan, collected), plan.out
    write_results(plan, collected, [*choice.sweep, *plan.comparison(choice.settings)])
    if not choice.settings:
        console.print(f'No setting is chosen yet; the sweep so far is in {out / "results.csv"}', soft_wrap=True)
        return
    made = make_report(plan, collected, choice)
    if plan.is_matched:
        lines = [row for metric in made.metrics for row in
                 [*([metric if not index else '', *cells] for index, cells in enumerate(made.rows[metric])), None]]
        console.print(make_table(['metric', *made.header], lines, plan.stages[0].config.name, _TEXT))
        for sentence in [*made.verdicts, *made.notes]:
            console.print(sentence, soft_wrap=True, highlight=False)
    else:
        console.print(_stage_table(plan, collected[plan.all_runs()[0]]))
    tables = ''.join(f'## {metric}\n\n{markdown_table(made.header, made.rows[metric])}\n' for metric in made.metrics)
    notes = ''.join(f'- {note}\n' for note in [*made.verdicts, *made.notes])
    write_whole(out / 'summary.csv', made.summary.to_csv(index=False))
    write_whole(out / 'summary.md', f'# {plan.stages[0].config.name}: {", ".join(plan.arms)}\n\n{tables}{notes}')
    if made.panels:
        draw_curves(made.panels, out / 'curves.png')
        points = pd.concat([panel.curves for panel in made.panels.values()])
        write_whole(out / 'curves.csv', points.to_csv(index=False))
    console.print(f'Runs: {out / "results.csv"}\nSummary: {out / "summary.md"} and .csv\n'
                  f'Curves: {out / "curves.png"} and .csv', soft_wrap=True, highlight=False)


def write_results(plan: Plan, collected: Mapping[Run, Outcome], runs: Sequence[Run]) -> None:
    """Write ``results.csv``, a row a run."""
    if runs:
        write_whole(plan.out / 'results.csv', results_table(plan, collected, runs).to_csv(index=False))


def _stage_table(plan: Plan, outcome: Outcome):
    """What the last validations of a single run's stages gave, by the paper's names.

    The training log's last record is one of a few images; beside the accuracies it would look like a result.
    """
    stages = [(stage, outcome.stages[stage.prefix]) for stage in plan.stages]
    values = [{_TITLES.get(name, name): f'{value:.4g}' for name, value in reversed(found.validated.items())}
              for _, found in stages]
    columns = sorted(dict.fromkeys(name for row in values for name in reversed(row)),
                     key=('Train-acc1', 'Test-acc1').__contains__, reverse=True)
    rows = [[stage.name, found.status, *(row.get(column, '-') for column in columns)]
            for (stage, found), row in zip(stages, values)]
    return make_table(['stage', 'status', *columns], rows, 'Language Bias Bridge Training', _TEXT)
