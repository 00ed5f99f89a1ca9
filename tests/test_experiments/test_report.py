"""What is said about a difference follows from its interval."""
import pandas as pd
import pytest

from lbbt_mm.experiments.report import verdicts
from lbbt_mm.experiments.statistics import summarize_arms


def table(**values) -> pd.DataFrame:
    return pd.DataFrame([dict(arm=arm, seed=seed, lr=0.1, status='finished', acc=value)
                         for arm, row in values.items() for seed, value in enumerate(row)])


@pytest.mark.parametrize('language, said', [
    ((30., 31., 32.), 'acc: language - random: +20 [+20, +20], told apart by 3 seeds.'),
    ((1., 1.5, 2.), 'acc: language - random: -9.5 [-10.74, -8.258], told apart by 3 seeds.'),
    ((10., 41., 2.), 'acc: language - random: +6.667 [-45.04, +58.38], not told apart by 3 seeds.'),
])
def test_a_verdict_is_computed(language, said):
    results = table(language=language, random=(10., 11., 12.))
    assert verdicts(['acc'], summarize_arms(results, ['acc'], 'random'), 'random') == [said]


def test_one_seed_and_no_pair():
    results = table(language=(30., ), random=(10., 11.))
    assert verdicts(['acc'], summarize_arms(results, ['acc'], 'random'), 'random') == [
        'acc: language - random: +20; one seed tells nothing of the spread.']
    results = table(random=(10., 11.))
    assert verdicts(['acc'], summarize_arms(results, ['acc'], 'random'), 'random') == []
