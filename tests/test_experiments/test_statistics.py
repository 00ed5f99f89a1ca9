"""Statistics of arms on numbers that were worked out by hand, and scipy's own paired test."""
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lbbt_mm.experiments.statistics import best_setting, paired_difference, summarize_arms


def results(**status):
    """Two arms, three seeds; ``status`` by arm and seed, for example ``language1='diverged'``."""
    rows = [('language', 0, 7.), ('language', 1, 8.), ('language', 2, 12.), ('random', 0, 4.), ('random', 1, 6.),
            ('random', 2, 8.)]
    return pd.DataFrame([{'arm': arm, 'seed': seed, 'lr': 0.1, 'status': status.get(f'{arm}{seed}', 'finished'), 'acc': acc,
                          'probe/status': status.get(f'probe_{arm}{seed}', 'finished'), 'probe/acc': 2 * acc}
                         for arm, seed, acc in rows])


def row(summary, metric, arm):
    return summary.set_index(['metric', 'arm']).loc[(metric, arm)]


class TestPairedDifference:

    def test_by_hand(self):
        """Differences 3, 2, 4: mean 3, standard deviation 1, standard error 1/sqrt(3), t(2, 97.5%) = 4.3027."""
        found = paired_difference({0: 7, 1: 8, 2: 12}, {0: 4, 1: 6, 2: 8})
        assert found.pairs == 3 and found.difference == pytest.approx(3)
        assert found.high - 3 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
        assert 3 - found.low == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)

    def test_as_scipy_has_it(self):
        a, b = np.random.default_rng(0).normal(size=(2, 7))
        found = paired_difference(dict(enumerate(a)), dict(enumerate(b)), confidence=0.9)
        expected = stats.ttest_rel(a, b).confidence_interval(0.9)
        np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high])

    def test_pairs_are_made_by_seed(self):
        found = paired_difference({2: 5, 0: 1, 7: 100}, {0: 0, 2: 2, 3: -100})
        assert found.pairs == 2 and found.difference == pytest.approx(2)

    def test_one_pair_has_no_interval_and_none_no_mean(self):
        one, none = paired_difference({0: 3}, {0: 1}), paired_difference({0: 3}, {1: 1})
        assert one[:2] == (1, 2) and math.isnan(one.low) and math.isnan(one.high)
        assert none.pairs == 0 and math.isnan(none.difference)


class TestSummary:

    def test_mean_standard_deviation_and_n(self):
        language = row(summarize_arms(results(), ['acc'], 'random'), 'acc', 'language')
        assert language['mean'] == 9 and language['std'] == pytest.approx(math.sqrt(7)) and language['n'] == 3
        assert language['difference'] == pytest.approx(3) and language['pairs'] == 3 and language['lr'] == 0.1

    def test_the_baseline_is_not_compared_with_itself(self):
        random = row(summarize_arms(results(), ['acc'], 'random'), 'acc', 'random')
        assert random['mean'] == 6 and math.isnan(random['difference']) and random['pairs'] == 0

    def test_a_diverged_run_is_counted_and_leaves_its_pair(self):
        summary = summarize_arms(results(language1='diverged', random0='failed'), ['acc'], 'random')
        language, random = row(summary, 'acc', 'language'), row(summary, 'acc', 'random')
        assert (language['n'], language['diverged'], language['runs']) == (2, 1, 3) and language['mean'] == 9.5
        assert (random['n'], random['failed'], random['runs']) == (2, 1, 3)
        assert language['pairs'] == 1 and language['difference'] == 4

    def test_an_arm_that_only_diverged_keeps_its_row(self):
        status = {f'language{seed}': 'diverged' for seed in range(3)}
        language = row(summarize_arms(results(**status), ['acc'], 'random'), 'acc', 'language')
        assert language['n'] == 0 and language['diverged'] == 3 and math.isnan(language['mean'])

    def test_a_probe_s_metric_goes_by_the_probe_s_status(self):
        summary = summarize_arms(results(probe_language0='diverged'), ['acc', 'probe/acc'], 'random')
        assert row(summary, 'acc', 'language')['n'] == 3
        probe = row(summary, 'probe/acc', 'language')
        assert probe['n'] == 2 and probe['diverged'] == 1 and probe['mean'] == 20

    def test_a_finished_run_without_a_number_does_not_count(self):
        table = results()
        table.loc[0, 'acc'] = math.nan
        assert row(summarize_arms(table, ['acc', 'other'], 'random'), 'acc', 'language')['n'] == 2
        assert row(summarize_arms(table, ['acc', 'other'], 'random'), 'other', 'language')['n'] == 0

    def test_metrics_and_arms_keep_their_order(self):
        summary = summarize_arms(results(), ['probe/acc', 'acc'], 'random')
        assert list(zip(summary['metric'], summary['arm'])) == [
            ('probe/acc', 'language'), ('probe/acc', 'random'), ('acc', 'language'), ('acc', 'random')]


class TestBestSetting:

    def test_highest_or_lowest(self):
        scores = {1e-4: 3., 1e-3: 5., 1e-2: 4.}
        assert best_setting(scores) == 1e-3 and best_setting(scores, lower_is_better=True) == 1e-4

    def test_a_diverged_one_loses_both_ways(self):
        scores = {1e-4: math.nan, 1e-3: 5., 1e-2: None}
        assert best_setting(scores) == best_setting(scores, lower_is_better=True) == 1e-3

    def test_equal_scores_give_the_smallest(self):
        assert best_setting({0.1: 2., 0.01: 2.}) == 0.01

    def test_no_score_at_all(self):
        with pytest.raises(ValueError, match='None of 0.1, 1 has a score: every run diverged'):
            best_setting({0.1: None, 1.: math.nan})


def test_statistics_import_no_mm_codebase():
    code = ('import sys, lbbt_mm.analysis, lbbt_mm.experiments.statistics\n'
            'assert not {"mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', code], check=True)
