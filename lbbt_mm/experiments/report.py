"""What an experiment says so far: tables, verdicts, curves, and the files that hold them."""
import math
from typing import Dict, List, Mapping, NamedTuple, Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from lbbt_mm.files.run_records import curve, in_validation
from lbbt_mm.files.whole_files import write_whole
from lbbt_mm.text_table import make_table, markdown_table
from .cells import Cell
from .choose import Choice
from .collect import Outcome, StageOutcome
from .curves import Panel, draw_curves
from .plan import Plan, Run
from .source import Source
from .statistics import status_column, summarize_arms

CONFIDENCE = 0.95
#: The paper's names, Tables 1 to 5
_TITLES = {'train/accuracy/top1': 'Train-acc1', 'test/accuracy/top1': 'Test-acc1', 'accuracy/top1': 'Test-acc1'}


class Report(NamedTuple):
    """What is said about the runs that are compared.

    Attributes:
        screen: The table that is shown.
        sentences: What is said below it.
        markdown: Tables and sentences as a page.
        summary: What :func:`~lbbt_mm.experiments.statistics.summarize_arms` gave.
        panels: Title -> curves over training.
    """
    screen: Table
    sentences: List[str]
    markdown: str
    summary: pd.DataFrame
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
    results['arm'] = [run.label for run in runs]
    tables, sentences = [], []
    for source in plan.sources:  # an arm is compared with the baseline of its own language model
        baseline, own = source.label(plan.baseline), results[[run.source == source for run in runs]]
        tables.append(summarize_arms(own, metrics, baseline, CONFIDENCE))
        sentences += verdicts(metrics, tables[-1], baseline)
        tables[-1].insert(0, 'cell', source.cell.name)
    sentences += _notes(plan, choice, metrics)
    summary, name = pd.concat(tables, ignore_index=True), plan.stages[0].config.name
    several = len(plan.arms) > 1
    differences = [f'minus {plan.baseline}', f'{CONFIDENCE:.0%} interval'] if several else []
    header = ['arm', 'lr', 'n', 'mean', 'std', *differences, 'runs']
    rows = {metric: [_cells(row, results.loc[results['arm'] == row.arm, status_column(results, metric)], several)
                     for row in summary[summary['metric'] == metric].itertuples()] for metric in metrics}
    cells = ['arm', *(cell.name for cell in plan.cells)]
    grids = {metric: _grid(plan, summary[summary['metric'] == metric]) for metric in metrics} if len(plan.cells) > 1 else {}
    screen = (_metric_table(name, cells, grids) if grids else _metric_table(name, header, rows) if plan.is_matched
              else _stage_table({stage.name: collected[runs[0]].stages[stage.prefix] for stage in plan.stages}))
    of_metric = {metric: [markdown_table(columns, [[text.replace('\n', '<br>') for text in row] for row in table[metric]])
                          for columns, table in ((cells, grids), (header, rows)) if metric in table] for metric in metrics}
    markdown = ''.join([f'# {name}: {", ".join(plan.arms)}\n\n',
                        *(''.join([f'## {metric}\n\n', *(f'{table}\n' for table in tables)])
                          for metric, tables in of_metric.items()),
                        *(f'- {sentence}\n' for sentence in sentences)])
    return Report(screen, sentences if plan.is_matched else [], markdown, summary,
                  _panels(plan, collected, runs, metrics))


def results_table(plan: Plan, collected: Mapping[Run, Outcome], runs: Sequence[Run]) -> pd.DataFrame:
    """A row a run: where it starts, seed, setting, its final metrics by name, how it and its probes ended."""
    rows = []
    for run in dict.fromkeys(runs):
        outcome = collected[run]
        source = dict(cell=run.source.cell.name) if run.source.cell.name else {}
        source.update(dict(source=run.source.name) if run.source.name else {})
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
                 if name not in ('cell', 'source', 'arm', 'seed', 'lr', 'init_std') and not name.endswith('status')]
        raise ValueError(f'--metric {" ".join(wrong)}: no run that finished has it; there are: '
                         f'{", ".join(names) or "none"}. Correct it and add --report-only: the runs are kept, and no '
                         'table or curve was written.')


def _notes(plan: Plan, choice: Choice, metrics: Sequence[str]) -> List[str]:
    """How the settings were chosen, and what to beware of."""
    seed = plan.seeds[0]
    last = [f'Seeds {", ".join(map(str, plan.seeds))}. Differences are paired by seed; their interval is that of the '
            f'paired t statistic at {CONFIDENCE:.0%}. Mean, standard deviation and n are of the runs that finished.',
            *([] if metrics else ['No run has a metric of a validation. Give --metric, for example --metric loss.'])]
    better = f'{"lowest" if choice.lower else "highest"} {choice.selector or "metric"}'
    warnings = [f'Warning: {warning}' for warning in choice.warnings()]
    tried = ', '.join(f'{std:g}' for std in plan.init_stds)
    drawn = [f'{label} is drawn with standard deviation {setting.init_std:g}, the best of {tried} (seed {seed}, {better}).'
             for label, setting in choice.settings.items() if setting.init_std is not None]
    if len(plan.lrs) < 2:
        source = '--lrs' if plan.lrs else 'the config'
        return [f'Learning rate: the same for every arm, from {source}.', *warnings, *drawn, *last]
    rates = ', '.join(f'{lr:g}' for lr in plan.lrs)
    scope = f'arm {plan.baseline}, and given to every arm' if plan.lr_rule == 'baseline' else 'each arm for itself'
    return [f'Learning rate, rule {plan.lr_rule}: the best of {rates} (seed {seed}, {better}) on {scope}. Seed {seed}, '
            'which chose it, is also among the compared seeds.', *warnings, *drawn, *last]


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
            said.append(f'{difference} {_interval(row)}, {"" if apart else "not "}told apart by {row.pairs} seeds.')
    return said


def _metric_table(title: str, header: Sequence[str], rows: Mapping[str, Sequence[Sequence[str]]]) -> Table:
    """A table with a section for each metric."""
    lines = [line for metric, cells in rows.items()
             for line in (*([metric if not index else '', *row] for index, row in enumerate(cells)), None)]
    return make_table(['metric', *header], lines, title, ('metric', 'arm', 'runs'))


def _grid(plan: Plan, summary: pd.DataFrame) -> List[List[str]]:
    """One metric, a row for each arm and a column for each cell: mean and standard deviation, difference and interval."""
    by_label = {row.arm: row for row in summary.itertuples()}

    def text(source: Source, arm: str) -> str:
        row = by_label.get(source.label(arm))
        if row is None:
            return '-'
        compared = '' if math.isnan(row.difference) else f'\n{number(row.difference, sign=True)} {_interval(row)}'
        return f'{number(row.mean)} ± {number(row.std)}{compared}'

    models = [source for source in plan.sources if source.cell == plan.cells[0]]
    return [[model._replace(cell=Cell()).label(arm), *(text(model._replace(cell=cell), arm) for cell in plan.cells)]
            for model in models for arm in plan.arms]


def _stage_table(stages: Mapping[str, StageOutcome]) -> Table:
    """What the last validations of a single run's stages gave, by the paper's names.

    The training log's last record is one of a few images; beside the accuracies it would look like a result.
    """
    titles = {name: _TITLES.get(name, name) for stage in stages.values() for name in stage.validated}
    columns = sorted(dict.fromkeys(titles.values()), key=('Train-acc1', 'Test-acc1').__contains__, reverse=True)
    rows = []
    for name, stage in stages.items():
        cells = {titles[metric]: f'{value:.4g}' for metric, value in reversed(stage.validated.items())}
        rows.append([name, stage.status, *(cells.get(column, '-') for column in columns)])
    return make_table(['stage', 'status', *columns], rows, 'Language Bias Bridge Training', ('stage', 'status'))


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
    """Each metric and each stage's training loss over training, cells apart."""
    losses, panels = [f'{stage.prefix}loss' for stage in plan.stages], {}
    for metric in dict.fromkeys([*metrics, *losses]):
        prefix = collected[runs[0]].owner(metric)
        name = metric[len(prefix):]
        points: Dict[str, list] = {cell.name: [] for cell in plan.cells}
        unit = next(stage.unit for stage in plan.stages if stage.prefix == prefix)
        for run in runs:
            records = collected[run].stages[prefix].records
            found = curve(records, name)
            unit = unit if not found or in_validation(records, name) else 'iteration'
            label = run.source._replace(cell=Cell()).label(run.arm)
            points[run.source.cell.name] += [(label, run.seed, *point) for point in found]
        title = f'{metric} (training)' if metric in losses else metric
        for cell, found in points.items():
            if found:
                curves = pd.DataFrame(found, columns=['arm', 'seed', 'step', 'value']).assign(metric=metric, cell=cell)
                panels[f'{title}\n{cell}' if cell else title] = Panel(curves, unit)
    return panels


def report(plan: Plan, collected: Mapping[Run, Outcome], console: Console) -> None:
    """Show and write the results so far.

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
    console.print(made.screen)
    for sentence in made.sentences:
        console.print(sentence, soft_wrap=True, highlight=False)
    write_whole(out / 'summary.csv', made.summary.to_csv(index=False))
    write_whole(out / 'summary.md', made.markdown)
    if made.panels:
        draw_curves(made.panels, out / 'curves.png')
        write_whole(out / 'curves.csv', pd.concat(panel.curves for panel in made.panels.values()).to_csv(index=False))
    console.print(f'Runs: {out / "results.csv"}\nSummary: {out / "summary.md"} and .csv\n'
                  f'Curves: {out / "curves.png"} and .csv', soft_wrap=True, highlight=False)


def write_results(plan: Plan, collected: Mapping[Run, Outcome], runs: Sequence[Run]) -> None:
    """Write ``results.csv``, with one row for each run."""
    if runs:
        write_whole(plan.out / 'results.csv', results_table(plan, collected, runs).to_csv(index=False))


