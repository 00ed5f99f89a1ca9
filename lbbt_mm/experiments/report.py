"""What an experiment says so far: tables, verdicts, curves, and the files that hold them."""
import math
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import pandas as pd
from rich.console import Console
from rich.table import Table

from lbbt_mm.files.run_records import MAIN_LOSS, comparable_loss, curve, in_validation
from lbbt_mm.files.whole_files import write_whole
from lbbt_mm.figures.curve_panels import Panel, draw_curves
from lbbt_mm.text_table import make_table, markdown_table
from .cells import Cell
from .choose import Choice
from .collect import Outcome, StageOutcome
from .plan import Plan, Run
from .statistics import status_column, summarize_arms

CONFIDENCE = 0.95
#: The paper's names, Tables 1 to 5
_TITLES = {'train/accuracy/top1': 'Train-acc1', 'test/accuracy/top1': 'Test-acc1', 'accuracy/top1': 'Test-acc1'}


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
    runs = plan.comparison(choice.settings)
    write_results(plan, collected, [*choice.sweep, *runs])
    if not choice.settings:
        console.print(f'No setting is chosen yet; the sweep so far is in {out / "results.csv"}', soft_wrap=True)
        return
    metrics = list(plan.metrics) or list(dict.fromkeys(name for run in runs for name in collected[run].validated))
    results = results_table(plan, collected, runs)
    _check_metrics(metrics, results)
    summary, sentences = _compare(plan, runs, results, metrics)
    sentences += _notes(plan, choice, metrics)
    grids = [_grid(plan, summary, metrics)] if len(plan.cells) > 1 else []
    tables = [*grids, _metric_rows(plan, summary, results, metrics)]
    name = plan.stages[0].config.name
    if plan.is_matched:
        about = f'{name}: mean ± standard deviation; below, minus {plan.baseline} [{CONFIDENCE:.0%} interval]'
        console.print(_metric_table(about if len(tables) > 1 else name, *tables[0]))
        for sentence in sentences:
            console.print(sentence, soft_wrap=True, highlight=False)
    else:
        console.print(_stage_table({stage.name: collected[runs[0]].stages[stage.prefix] for stage in plan.stages}))
    write_whole(out / 'summary.csv', summary.to_csv(index=False))
    write_whole(out / 'summary.md', ''.join([
        f'# {name}: {", ".join(plan.arms)}\n\n',
        *(''.join([f'## {metric}\n\n', *(f'{markdown_table(header, rows[metric])}\n' for header, rows in tables)])
          for metric in metrics),
        *(f'- {sentence}\n' for sentence in sentences)]))
    panels = _panels(plan, collected, runs, metrics)
    if panels:
        draw_curves(panels).save(out, 'curves')
        write_whole(out / 'curves.csv', pd.concat(panel.curves for panel in panels.values()).to_csv(index=False))
    console.print(f'Runs: {out / "results.csv"}\nSummary: {out / "summary.md"} and .csv\n'
                  f'Curves: {out / "curves.png"}, .pdf and .csv', soft_wrap=True, highlight=False)


def _compare(plan: Plan, runs: Sequence[Run], results: pd.DataFrame,
             metrics: Sequence[str]) -> Tuple[pd.DataFrame, List[str]]:
    """The summary of all arms by their labels, and its verdicts; the baseline is that of an arm's own cell and model."""
    results['arm'], tables, sentences = [run.label for run in runs], [], []
    for source in plan.sources:
        baseline = source.label(plan.baseline)
        tables.append(summarize_arms(results[[run.source == source for run in runs]], metrics, baseline, CONFIDENCE))
        sentences += verdicts(tables[-1], baseline)
        if source.cell.name:
            tables[-1].insert(0, 'cell', source.cell.name)
    return pd.concat(tables, ignore_index=True), sentences


def results_table(plan: Plan, collected: Mapping[Run, Outcome], runs: Sequence[Run]) -> pd.DataFrame:
    """One row for each run: where it starts, seed, setting, its final metrics by name, how it and its probes ended."""
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


def verdicts(summary: pd.DataFrame, baseline: str) -> List[str]:
    """A sentence for each metric and arm: the difference to the baseline, and whether the seeds tell the two apart.

    Args:
        summary: What :func:`~lbbt_mm.experiments.statistics.summarize_arms` gave.
        baseline: The arm that the others are compared with.
    """
    said = []
    for row in summary.itertuples():
        if row.arm == baseline or math.isnan(row.difference):
            continue
        difference = f'{row.metric}: {row.arm} - {baseline}: {number(row.difference, sign=True)}'
        apart = row.low > 0 or row.high < 0
        said.append(f'{difference}; one seed tells nothing of the spread.' if math.isnan(row.low) else
                    f'{difference} {_interval(row)}, {"" if apart else "not "}told apart by {row.pairs} seeds.')
    return said


def _metric_table(title: str, header: Sequence[str], rows: Mapping[str, Sequence[Sequence[str]]]) -> Table:
    """A table with a section for each metric."""
    lines = [line for metric, cells in rows.items()
             for line in (*([metric if not index else '', *row] for index, row in enumerate(cells)), None)]
    return make_table(['metric', *header], lines, title, ('metric', 'arm', 'runs'))


def _grid(plan: Plan, summary: pd.DataFrame, metrics: Sequence[str]) -> Tuple[List[str], Dict[str, List[List[str]]]]:
    """A table with a row for each arm and a column for each cell: mean and standard deviation, difference and interval."""
    texts = {}
    for row in summary.itertuples():
        compared = '' if math.isnan(row.difference) else f'\n{number(row.difference, sign=True)} {_interval(row)}'
        spread = '' if math.isnan(row.std) else f' ± {number(row.std)}'
        part = '' if row.n == row.runs else f' ({row.n} of {row.runs} finished)'
        texts[row.metric, row.arm] = f'{number(row.mean)}{spread}{part}{compared}'
    starts = [(source, arm) for source, arm in plan.starts if source.cell == plan.cells[0]]
    rows = {metric: [[source._replace(cell=Cell()).label(arm),
                      *(texts.get((metric, source._replace(cell=cell).label(arm)), '-') for cell in plan.cells)]
                     for source, arm in starts] for metric in metrics}
    return ['arm', *(cell.name for cell in plan.cells)], rows


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


def _metric_rows(plan: Plan, summary: pd.DataFrame, results: pd.DataFrame,
                 metrics: Sequence[str]) -> Tuple[List[str], Dict[str, List[List[str]]]]:
    """The header of a metric's table, and each metric's rows, an arm each."""
    differences = [f'minus {plan.baseline}', f'{CONFIDENCE:.0%} interval'] if len(plan.arms) > 1 else []
    rows: Dict[str, List[List[str]]] = {metric: [] for metric in metrics}
    for row in summary.itertuples():
        pairs = f' ({row.pairs} of {row.n} paired)' if 0 < row.pairs < row.n else ''
        compared = [f'{number(row.difference, sign=True)}{pairs}', _interval(row)] if differences else []
        status = results.loc[results['arm'] == row.arm, status_column(results, row.metric)]
        odd = [f'{word} {count}/{len(status)}' for word, count in status.value_counts().items() if word != 'finished']
        rows[row.metric].append([row.arm, '-' if math.isnan(row.lr) else f'{row.lr:g}', str(row.n), number(row.mean),
                                 number(row.std), *compared, ', '.join(odd) or 'finished'])
    return ['arm', 'lr', 'n', 'mean', 'std', *differences, 'runs'], rows


def _interval(row: NamedTuple) -> str:
    return '-' if math.isnan(row.low) else f'[{number(row.low, sign=True)}, {number(row.high, sign=True)}]'


def number(value: float, sign: bool = False) -> str:
    """A number with four significant digits; ``-`` for none."""
    return '-' if math.isnan(value) else f'{value:{"+" if sign else ""}.4g}'


def _panels(plan: Plan, collected: Mapping[Run, Outcome], runs: Sequence[Run], metrics: Sequence[str]) -> Dict[str, Panel]:
    """Each metric and each stage's training loss, of auxiliary training the main path's, over training, cells apart."""
    losses, panels = [f'{stage.prefix}loss' for stage in plan.stages], {}
    for metric in dict.fromkeys([*metrics, *losses]):
        prefix = collected[runs[0]].owner(metric)
        name = metric[len(prefix):]
        points: Dict[str, list] = {cell.name: [] for cell in plan.cells}
        diverged = []
        unit = next(stage.unit for stage in plan.stages if stage.prefix == prefix)
        for run in runs:
            records = collected[run].stages[prefix].records
            found = curve(records, comparable_loss(records) if metric in losses else name)
            unit = unit if not found or in_validation(records, name) else 'iteration'
            label = run.source._replace(cell=Cell()).label(run.arm)
            points[run.source.cell.name] += [(label, run.seed, *point) for point in found]
            if collected[run].stages[prefix].status == 'diverged':
                diverged.append((run.source.cell.name, label, run.seed))
        of_main = any(comparable_loss(collected[run].stages[prefix].records) == MAIN_LOSS for run in runs)
        title = f'{metric} (training{", main path" * of_main})' if metric in losses else metric
        for cell, found in points.items():
            if found:
                curves = pd.DataFrame(found, columns=['arm', 'seed', 'step', 'value']).assign(metric=metric, cell=cell)
                ends = [(label, seed) for name, label, seed in diverged if name == cell]
                panels[f'{title}\n{cell}' if cell else title] = Panel(curves, unit, ends)
    return panels


def write_results(plan: Plan, collected: Mapping[Run, Outcome], runs: Sequence[Run]) -> None:
    """Write ``results.csv``, with one row for each run."""
    if runs:
        write_whole(plan.out / 'results.csv', results_table(plan, collected, runs).to_csv(index=False))
