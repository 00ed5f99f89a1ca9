"""Tables of a comparison: means and intervals over seeds, correlations over models, and what is missing."""
import math
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from scipy import stats

from lbbt_mm.language.language_loss import LanguageLoss
from lbbt_mm.zero_shot.compared_scores import Neighbourhood
from lbbt_mm.zero_shot.comparison_tables import Model, Score, correlations, printed, report, summarize
from lbbt_mm.zero_shot.tasks import Task

TASKS = [Task(name, torch.arange(4), torch.tensor([0, 0, 0, 1]), 2, ['a', 'b']) for name in ('en', 'zh')]


def loss(bits):
    return LanguageLoss(bits, 10, 40, 512, 0)


MODELS = [Model('small', True, 1000, loss(1.2), Neighbourhood(0.2, 0.1, 0.01, 100)),
          Model('large', True, 9000, loss(0.8), Neighbourhood(0.3, 0.25, 0.01, 100)),
          Model('largest', True, 90000, loss(0.7), Neighbourhood(0.28, 0.2, 0.01, 100)),
          Model('encoder', False, 2000, None, None)]
BASE = dict(small=0.3, large=0.5, largest=0.6, encoder=0.4)


def scores():
    found = [Score(label, 'ShareLock', seed, task.name, 'finished', base + 0.01 * seed)
             for label, base in BASE.items() for seed in (0, 1, 2) for task in TASKS]
    return [*found, Score('small', 'asif', None, 'en', 'finished', 0.25),
            Score('random', 'ShareLock', 0, 'en', 'finished', 0.5),
            Score('random', 'ShareLock', 1, 'en', 'diverged', math.nan)]


@pytest.fixture
def summary():
    return summarize(pd.DataFrame(scores(), columns=Score._fields), TASKS, MODELS)


def row(summary, model, method='ShareLock', task='en'):
    found, = summary[(summary.model == model) & (summary.method == method) & (summary.task == task)].itertuples()
    return found


def test_the_mean_over_seeds_and_its_interval(summary):
    found = row(summary, 'small')
    assert found.accuracy == pytest.approx(0.31) and (found.runs, found.n) == (3, 3) and found.std == pytest.approx(0.01)
    low, high = stats.t.interval(0.95, 2, 0.31, 0.01 / 3**0.5)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.chance, found.majority, found.images, found.bits_per_byte) == (0.5, 0.75, 4, 1.2)


def test_runs_without_an_end_are_counted(summary):
    found = row(summary, 'random')
    assert (found.runs, found.n, found.accuracy) == (2, 1, 0.5)
    assert math.isnan(found.low) and math.isnan(found.bits_per_byte)
    assert found.kind == '' and row(summary, 'encoder').kind == 'encoder' and row(summary, 'small').kind == 'decoder'


def test_correlations_are_over_models_with_both_numbers(summary):
    found = correlations(summary)
    assert len(found) == 4 and set(found.models) == {3}, 'an encoder has no bits per byte, controls are no models'
    bits = found[(found.task == 'en') & (found.predictor == 'bits_per_byte')].iloc[0]
    expected = stats.pearsonr([1.2, 0.8, 0.7], [0.31, 0.51, 0.61])
    assert (bits.pearson, bits.pearson_p) == pytest.approx(tuple(expected)) and bits.pearson < -0.9
    assert bits.spearman == pytest.approx(-1)
    near = found[(found.task == 'en') & (found.predictor == 'knn_calibrated')].iloc[0]
    assert near.spearman == pytest.approx(0.5)


def test_two_models_lie_on_a_line_always(summary):
    assert not len(correlations(summary[summary.model.isin(['small', 'large'])]))


def test_printed_are_percentages(summary):
    table = printed(summary, TASKS).set_index(['model', 'method'])
    assert table.loc[('small', 'ShareLock'), 'en'] == '31.0 ± 2.5'
    assert table.loc[('small', 'asif'), 'en'] == '25.0' and table.loc[('small', 'asif'), 'zh'] == '-'
    assert table.loc[('random', 'ShareLock'), 'en'] == '50.0 (1 of 2)'
    assert table.loc[('small', 'ShareLock'), 'bits/byte'] == 1.2 and math.isnan(table.loc[('small', 'asif'), 'bits/byte'])


def test_files_and_figure(tmp_path, capsys):
    args = SimpleNamespace(out=tmp_path, seeds=[0, 1, 2])
    report(args, TASKS, scores(), MODELS)
    assert {path.name for path in tmp_path.iterdir()} == {
        'results.csv', 'summary.csv', 'correlations.csv', 'scatter.png', 'scatter.pdf'}
    results = pd.read_csv(tmp_path / 'results.csv')
    assert len(results) == 27 and list(results.columns) == list(Score._fields)
    assert 'en: 4 images of 2 classes; chance 50.00%, the largest class 75.00%' in capsys.readouterr().out


def test_too_few_models_for_a_correlation(tmp_path, capsys):
    report(SimpleNamespace(out=tmp_path, seeds=[0]), TASKS, scores()[:6], MODELS[:1])
    assert 'No correlation over 1 language model; expected 3' in capsys.readouterr().out
    assert not (tmp_path / 'scatter.png').exists() and (tmp_path / 'correlations.csv').exists()
