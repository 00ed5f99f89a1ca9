"""What a comparison of language models says: tables, how accuracy goes with what needs no training, and a figure."""
import argparse
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import pandas as pd
from scipy import stats

from lbbt_mm.analysis.mean_interval import mean_interval
from lbbt_mm.figures.numbers import print_numbers, write_numbers
from lbbt_mm.language.language_loss import LanguageLoss
from .comparison_figure import draw
from .compared_scores import Neighbourhood
from .tasks import Task

CONFIDENCE = 0.95
#: Models that a correlation needs; of fewer, any two numbers lie on a line.
_LEAST = 3
#: The method whose accuracy is compared over language models.
_MAIN = 'ShareLock'
#: Column of the summary -> what figures call it.
PREDICTORS = {'bits_per_byte': 'bits per byte', 'knn_calibrated': 'calibrated mutual nearest neighbours'}


class Score(NamedTuple):
    """Accuracy of one model in one task.

    Attributes:
        model: Which language model, or control.
        method: How images and texts were tied.
        seed: Of the training; None without one.
        task: Name of the task.
        status: ``finished``, ``diverged``, ``failed``, ...
        accuracy: 0 to 1; NaN unless finished.
    """
    model: str
    method: str
    seed: Optional[int]
    task: str
    status: str
    accuracy: float


class Model(NamedTuple):
    """What is known of a language model without training.

    Attributes:
        label: What tables call it.
        causal: Whether it is a decoder.
        parameters: Without a head.
        loss: How well it predicts a text; None of an encoder, or without a text.
        near: How alike captions and images lie; None where there are too few.
    """
    label: str
    causal: bool
    parameters: int
    loss: Optional[LanguageLoss]
    near: Optional[Neighbourhood]


def report(args: argparse.Namespace, tasks: Sequence[Task], scores: Sequence[Score], models: Sequence[Model]) -> None:
    """Print and write the tables and the figure.

    Args:
        args: The command line.
        tasks: The tasks.
        scores: Of all models and tasks.
        models: The language models.
    """
    results = pd.DataFrame(scores, columns=Score._fields)
    summary = summarize(results, tasks, models)
    related = correlations(summary)
    for frame, name in ((results, 'results'), (summary, 'summary'), (related, 'correlations')):
        write_numbers(frame, args.out, name)
    for task in tasks:
        print(f'{task.name}: {len(task.rows)} images of {task.num_classes} classes; chance {task.chance:.2%}, the largest '
              f'class {task.majority:.2%}')
    about = (f'Accuracy in %: mean over seeds {" ".join(map(str, args.seeds))} ± half of its {CONFIDENCE:.0%} interval (t); '
             'linear probes have seen labels of these classes')
    print_numbers(printed(summary, tasks), about, ['model', 'method', 'kind'])
    if len(related):
        print_numbers(related, f'How accuracy of {_MAIN} goes with what needs no training, over language models',
                      ['task', 'predictor'])
        draw(summary, PREDICTORS, _MAIN).save(args.out, 'scatter')
    elif len(models) < _LEAST:
        print(f'No correlation over {len(models)} language model{"s" * (len(models) > 1)}; expected {_LEAST} at least.')
    print(f'Numbers: {args.out}/results.csv, summary.csv, correlations.csv')


def summarize(results: pd.DataFrame, tasks: Sequence[Task], models: Sequence[Model]) -> pd.DataFrame:
    """A row for each model, method and task.

    Args:
        results: One row for each score, with the fields of :class:`Score`.
        tasks: The tasks.
        models: The language models.

    Returns:
        DataFrame: ``model, method, task, runs, n, accuracy, std, low, high, chance, majority, images``, and of language
        models ``kind, parameters, bits_per_byte, knn, knn_calibrated, knn_p``. The interval is that of the mean over seeds,
        NaN for fewer than two; ``n`` of the ``runs`` finished.
    """
    by_task, by_label = {task.name: task for task in tasks}, {model.label: _facts(model) for model in models}
    rows = []
    for (label, method, name), found in results.groupby(['model', 'method', 'task'], sort=False):
        task, values = by_task[name], found['accuracy'].dropna()
        low, high = mean_interval(values, CONFIDENCE)
        rows.append(dict(model=label, method=method, task=name, runs=len(found), n=len(values), accuracy=values.mean(),
                         std=values.std(), low=low, high=high, chance=task.chance, majority=task.majority,
                         images=len(task.rows), **by_label.get(label, _facts(None))))
    return pd.DataFrame(rows)


def _facts(model: Optional[Model]) -> Dict[str, Any]:
    loss, near = (model.loss, model.near) if model else (None, None)
    kind = ('decoder' if model.causal else 'encoder') if model else ''
    return dict(kind=kind, parameters=model.parameters if model else math.nan,
                bits_per_byte=loss.bits_per_byte if loss else math.nan, knn=near.score if near else math.nan,
                knn_calibrated=near.calibrated if near else math.nan, knn_p=near.p if near else math.nan)


def correlations(summary: pd.DataFrame) -> pd.DataFrame:
    """How the accuracy of trained ShareLock goes with each predictor over language models, for each task.

    Args:
        summary: What :func:`summarize` returns.

    Returns:
        DataFrame: ``task, predictor, models, pearson, pearson_p, spearman, spearman_p``; no row where fewer than three
        models have both numbers, or all have the same.
    """
    rows: List[Dict[str, Any]] = []
    main = summary[(summary['method'] == _MAIN) & (summary['kind'] != '')]
    for task, own in main.groupby('task', sort=False):
        for predictor in PREDICTORS:
            found = own[[predictor, 'accuracy']].dropna()
            if len(found) < _LEAST or (found.nunique() < 2).any():
                continue
            linear, ranks = (test(found[predictor], found['accuracy']) for test in (stats.pearsonr, stats.spearmanr))
            rows.append(dict(task=task, predictor=predictor, models=len(found), pearson=float(linear[0]),
                             pearson_p=float(linear[1]), spearman=float(ranks[0]), spearman_p=float(ranks[1])))
    return pd.DataFrame(rows, columns=['task', 'predictor', 'models', 'pearson', 'pearson_p', 'spearman', 'spearman_p'])


def printed(summary: pd.DataFrame, tasks: Sequence[Task]) -> pd.DataFrame:
    """The summary as it is printed: a row for each model and method, a column for each task.

    Args:
        summary: What :func:`summarize` returns.
        tasks: The tasks.
    """
    rows = []
    for (label, method), found in summary.groupby(['model', 'method'], sort=False):
        cells = {row.task: _cell(row) for row in found.itertuples()}
        first = found.iloc[0]
        known = {'bits/byte': first['bits_per_byte'], 'mutual kNN': first['knn'], 'calibrated': first['knn_calibrated'],
                 'p': first['knn_p']} if method == _MAIN else dict.fromkeys(['bits/byte', 'mutual kNN', 'calibrated', 'p'],
                                                                          math.nan)
        rows.append({'model': label, 'method': method, 'kind': first['kind'],
                     **{task.name: cells.get(task.name, '-') for task in tasks}, **known})
    return pd.DataFrame(rows)


def _cell(row: Any) -> str:
    if math.isnan(row.accuracy):
        return f'- (0 of {row.runs})'
    half = '' if math.isnan(row.low) else f' ± {(row.high - row.low) / 2:.1%}'.replace('%', '')
    lacking = f' ({row.n} of {row.runs})' if row.n < row.runs else ''
    return f'{100 * row.accuracy:.1f}{half}{lacking}'
