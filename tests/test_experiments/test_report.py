"""What is said of the runs: tables, verdicts that follow from their intervals, curves."""
import re

import pandas as pd
import pytest
from scipy import stats

from lbbt_mm.experiments import report
from lbbt_mm.experiments.report import verdicts
from lbbt_mm.experiments.statistics import summarize_arms
from lbbt_mm.figures import report_sections
from lbbt_mm.figures.curve_panels import draw_curves
from tests.experiment_folder import results, summary
from tests.fake_training import accuracy, behave, starts


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
    assert verdicts(summarize_arms(results, ['acc'], 'random'), 'random') == [said]


def test_one_seed_and_no_pair():
    results = table(language=(30., ), random=(10., 11.))
    assert verdicts(summarize_arms(results, ['acc'], 'random'), 'random') == [
        'acc: language - random: +20; one seed tells nothing of the spread.']
    results = table(random=(10., 11.))
    assert verdicts(summarize_arms(results, ['acc'], 'random'), 'random') == []



class TestResults:

    def test_a_row_a_run_with_its_final_metrics(self, compare, folder):
        compare(seeds='0 1')
        table = results(folder)
        assert list(table.columns) == ['arm', 'seed', 'lr', 'accuracy/top1', 'loss', 'status']
        for row in table.itertuples(index=False):
            assert row[3] == pytest.approx(accuracy(row.arm, row.seed, row.lr)) and row.status == 'finished'
        assert len(table) == 4

    def test_the_summary_is_paired_over_seeds(self, compare, folder):
        """Differences by seed: 16, 17, 18 (the fake's language arm is 4 off its best rate)."""
        compare()
        row = summary(folder).loc['language']
        values = [[accuracy(arm, seed, 0.01) for seed in range(3)] for arm in ('language', 'random')]
        interval = stats.ttest_rel(*values).confidence_interval()
        assert row['difference'] == pytest.approx(17) and row['std'] == pytest.approx(3) and row['n'] == 3
        assert (row['low'], row['high']) == pytest.approx((interval.low, interval.high))

    def test_the_tables_on_screen_and_in_markdown(self, compare, folder):
        _, output = compare()
        text = (folder / 'out' / 'summary.md').read_text()
        assert '| language | 0.01 | 3 | 59 | 3 | +17 | [+14.52, +19.48] | finished |' in text
        assert '| random | 0.01 | 3 | 42 | 2 | - | - | finished |' in text
        assert re.search(r'language │ 0.01 │ 3 │   59 │   3 │\s+\+17 │ \[\+14.52, \+19.48\]', output)
        assert 'Learning rate: the same for every arm, from the config.' in output

    def test_a_metric_that_no_run_has_leaves_what_was_written(self, compare, folder):
        compare(seeds='0')
        before = {name: (folder / 'out' / name).read_bytes() for name in ('summary.md', 'summary.csv', 'curves.csv')}
        status, output = compare('--report-only', '--metric', 'accuracy/top1', 'accuracy/top7', seeds='0')
        assert status == 2 and ('--metric accuracy/top7: no run that finished has it; there are: accuracy/top1, loss. '
                                'Correct it and add --report-only') in output
        assert all((folder / 'out' / name).read_bytes() == text for name, text in before.items())

    def test_nor_has_a_probe(self, compare, folder):
        status, output = compare('--probe', folder / 'probe.py', '--metric', 'probe/top9', seeds='0')
        assert status == 2 and '--metric probe/top9: no run that finished has it' in output
        assert not (folder / 'out' / 'summary.md').exists()
        assert compare('--probe', folder / 'probe.py', '--report-only', '--metric', 'probe/accuracy/top1', seeds='0')[0] == 0

    def test_one_seed_has_no_spread(self, compare, folder):
        compare(seeds='5')
        text = (folder / 'out' / 'summary.md').read_text()
        assert '| language | 0.01 | 1 | 71 | - | +21 | - | finished |' in text

    def test_curves_of_the_metrics_and_the_training_loss(self, compare, folder, monkeypatch):
        monkeypatch.setattr(report, 'draw_curves', draw_curves)
        compare(seeds='0 1')
        table = pd.read_csv(folder / 'out' / 'curves.csv')
        assert set(table['metric']) == {'accuracy/top1', 'loss'} and len(table) == 2 * 2 * 2 * 4
        last = table[(table['metric'] == 'accuracy/top1') & (table['step'] == 4) & (table['arm'] == 'random')]
        assert last['value'].tolist() == [accuracy('random', seed, 0.01) for seed in (0, 1)]
        assert (folder / 'out' / 'curves.png').read_bytes().startswith(b'\x89PNG')

    def test_an_arm_that_diverged_is_shown(self, compare, folder):
        behave(folder, **{'language-seed1-lr0.01': 'nan_error'})
        status, output = compare()
        assert status == 0 and 'diverged 1/3' in output
        assert '| language | 0.01 | 2 | 59 | 4.243 | +17 |' in (folder / 'out' / 'summary.md').read_text()
        assert (results(folder)['status'] == 'diverged').sum() == 1

    def test_the_number_of_pairs_where_it_is_not_n(self, compare, folder):
        behave(folder, **{'random-seed1-lr0.01': 'nan'})
        compare()
        assert '| language | 0.01 | 3 | 59 | 3 | +17 (2 of 3 paired) |' in (folder / 'out' / 'summary.md').read_text()

    def test_report_only_shows_what_is_there(self, compare, folder):
        status, output = compare('--report-only')
        assert status == 1 and 'has no runs of this experiment' in output
        compare(seeds='0 1')
        before = starts(folder)
        status, output = compare('--report-only')
        assert status == 0 and starts(folder) == before and 'missing 1/3' in output and len(results(folder)) == 6

    def test_a_run_that_diverged_is_not_probed(self, compare, folder):
        behave(folder, **{'language-seed0-lr0.01': 'nan'})
        assert compare('--probe', folder / 'probe.py', seeds='0')[0] == 0
        assert starts(folder).count('probe') == 1
        assert summary(folder, 'probe/accuracy/top1').loc['language', 'diverged'] == 1


class TestPage:

    @pytest.fixture
    def quick(self, monkeypatch):
        """Sections that need models say at once that there are none."""
        status = report_sections._status
        monkeypatch.setattr(report_sections, '_status',
                            lambda name, arguments: status(name, arguments) if name == 'curves' else 2)

    def test_it_has_the_results_and_the_curves_of_the_runs_that_were_compared(self, compare, folder, quick):
        behave(folder, **{'language-seed1-lr0.01': 'nan_error'})
        status, output = compare('--report', '--lrs', 0.01, 0.1, seeds='0 1')
        assert status == 0, output
        page = (folder / 'out' / 'report.html').read_text()
        assert f'Report: {folder / "out" / "report.html"}' in output
        assert 'accuracy/top1: language - random: ' in page and 'language-seed1-lr0.01) diverged' in page
        table = pd.read_csv(folder / 'out' / 'report' / 'curves' / 'curves.csv')
        compared = {f'{arm}-seed{seed}-lr0.01' for arm in ('language', 'random') for seed in (0, 1)}
        assert {path.rsplit('/', 1)[1] for path in table['run']} == compared, 'not those of the sweep'

    def test_with_report_only_nothing_is_trained(self, compare, folder, quick):
        compare(seeds='0 1')
        before = starts(folder)
        assert not (folder / 'out' / 'report.html').exists(), 'without --report there is none'
        status, output = compare('--report', '--report-only', seeds='0 1')
        assert status == 0 and starts(folder) == before and (folder / 'out' / 'report.html').exists()

    def test_without_compared_runs_there_is_none(self, compare, folder, quick):
        status, output = compare('--report', '--report-only', seeds='0')
        assert status == 1 and 'has no runs of this experiment' in output and not (folder / 'out' / 'report.html').exists()
