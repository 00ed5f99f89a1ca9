"""tools/compare_arms.py: which runs there are, how the learning rate is chosen, and what the tables say.

``tests/fake_training.py`` stands in for the trainings; tests/test_tools/test_lbbt.py has a comparison of real ones.
"""
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from lbbt_mm.experiments import arguments, compare_arms, experiment, report, trainings
from lbbt_mm.experiments.plan import Plan
from lbbt_mm.experiments.curves import draw_curves
from lbbt_mm.runs import training_run
from tests import fake_training
from tests.fake_training import accuracy, behave, starts, write_configs
from tests.tool_processes import REPO, run_tool

LR = 'optim_wrapper.optimizer.lr'


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(training_run, 'TRAIN_TOOL', (fake_training.__file__, ))
    for name in [name for name in os.environ if name.startswith('SLURM_')]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(report, 'draw_curves', lambda panels, path: None)  # half a second each time
    write_configs(tmp_path)
    return tmp_path


@pytest.fixture
def compare(folder, capfd):
    """Runs the tool; returns its exit status and what it printed, with line breaks as they come."""

    def run(*arguments, arms='language random', seeds='0 1 2'):
        status = compare_arms.main([
            str(folder / 'bridge.py'), '--out', str(folder / 'out'), '--arms', *arms.split(), '--seeds', *seeds.split(),
            *map(str, arguments)])
        captured = capfd.readouterr()
        return status, captured.out + captured.err

    return run


def results(folder) -> pd.DataFrame:
    return pd.read_csv(folder / 'out' / 'results.csv')


def summary(folder, metric='accuracy/top1') -> pd.DataFrame:
    table = pd.read_csv(folder / 'out' / 'summary.csv')
    return table[table['metric'] == metric].set_index('arm')


def request(folder, run) -> dict:
    return json.loads((folder / 'out' / 'runs' / run / 'request.json').read_text())['config']


def flat(value, key=''):
    if not isinstance(value, dict):
        return {key: value}
    return {name: leaf for part, item in value.items()
            for name, leaf in flat(item, f'{key}.{part}' if key else part).items()}


class TestMatching:

    def test_arms_differ_in_one_key_and_seeds_in_two(self, compare, folder):
        assert compare(seeds='0 1')[0] == 0
        first = flat(request(folder, 'language-seed0-lr0.01'))
        for other, keys in (('random-seed0-lr0.01', {'model.backbone.language.arm'}),
                            ('language-seed1-lr0.01', {'model.backbone.language.seed', 'randomness.seed'})):
            other = flat(request(folder, other))
            assert {key for key in first if first[key] != other[key]} == keys and first.keys() == other.keys()

    def test_the_learning_rate_is_the_config_s_unless_it_is_asked_for(self, compare, folder):
        assert compare(seeds='0')[0] == 0
        assert set(results(folder)['lr']) == {0.01}
        assert compare('--lrs', 0.3, seeds='0')[0] == 0
        assert set(results(folder)['lr']) == {0.3}
        assert request(folder, 'random-seed0-lr0.3')['optim_wrapper']['optimizer']['lr'] == 0.3

    @pytest.mark.parametrize('option', ('model.backbone.language.arm=host', 'randomness.seed=4', f'{LR}=1'))
    def test_the_keys_it_varies_cannot_be_overridden(self, compare, option):
        status, output = compare('--lrs', 0.1, '--cfg-options', option)
        assert status == 2 and f'--cfg-options {option}: this key is what the experiment varies.' in output

    @pytest.mark.parametrize('option', ('model.backbone.language.arm=host', 'randomness.seed=4'))
    def test_nor_can_those_of_the_probes(self, compare, folder, option):
        status, output = compare('--probe', folder / 'probe.py', '--probe-cfg-options', option)
        assert status == 2 and f'--probe-cfg-options {option}: this key is what the experiment varies.' in output

    @pytest.mark.parametrize('model, found', (
        ("dict(type='ResNet')", 'none'),
        ('dict(a=dict(language=dict(arm=1)), b=[dict(language=dict(arm=1))])', r'model.a.language, model.b.0.language')))
    def test_a_config_without_one_language_dict_is_refused(self, compare, folder, model, found):
        (folder / 'bridge.py').write_text(f'model = {model}')
        status, output = compare()
        assert status == 2 and f'expected one `language` dict below `model`, found {found}.' in output
        assert not (folder / 'out').exists()

    def test_it_is_found_wherever_it_is(self):
        from mmengine.config import Config

        from lbbt_mm.config_keys import find_language
        detr = Config.fromfile(REPO / 'configs' / 'detr_gpt2_coco.py')
        assert find_language(detr.model, 'detr.py') == 'model.language'
        assert find_language(dict(heads=[dict(), dict(language=dict())]), 'a.py') == 'model.heads.1.language'

    @pytest.mark.parametrize('index, name', ((0, 'bridge.py'), (1, 'probe.py')))
    def test_a_config_that_changes_during_the_experiment_stops_it(self, folder, index, name):
        probe = folder / 'probe.py'
        plan = Plan(folder / 'bridge.py', folder / 'out', ['random'], [0], probes=[probe])
        run, = plan.all_runs()
        trainings.make_training(plan, run).run()
        (folder / 'out' / 'runs' / run.name / 'done').unlink()  # as if it were still to be done
        step = trainings.make_chain(plan, run, plan.stages[1:]).steps[index]
        step()
        (folder / name).write_text((folder / name).read_text().replace('width=8', 'width=9'))
        with pytest.raises(training_run.OtherRunError, match=f'{name} has changed since this command began'):
            step()


class TestLearningRate:
    """The fake's best rate is 0.1 for the language arm and 0.01 for the others."""

    def test_baseline_gives_all_arms_the_baseline_s_best(self, compare, folder):
        status, output = compare('--lrs', 1e-3, 1e-2, 1e-1)
        assert status == 0
        assert summary(folder)['lr'].to_dict() == dict(language=0.01, random=0.01)
        assert sorted(starts(folder)) == sorted(
            [f'random-seed0-lr{lr}' for lr in (0.001, 0.01, 0.1)] + ['random-seed1-lr0.01', 'random-seed2-lr0.01']
            + [f'language-seed{seed}-lr0.01' for seed in range(3)]), 'the sweep\'s run is one of the seeds\''
        assert ('Learning rate, rule baseline: the best of 0.001, 0.01, 0.1 (seed 0, highest accuracy/top1) on arm random, '
                'and given to every arm. Seed 0, which chose it, is also among the compared seeds.') in output
        assert 'Warning' not in output and len(results(folder)) == 8

    def test_per_arm_tunes_each(self, compare, folder):
        status, output = compare('--lrs', 1e-2, 1e-1, '--lr-rule', 'per-arm', seeds='0')
        assert status == 0 and 'rule per-arm' in output and 'on each arm for itself' in output
        assert summary(folder)['lr'].to_dict() == dict(language=0.1, random=0.01)
        assert len(starts(folder)) == 4

    def test_a_best_rate_on_the_edge_is_warned_of(self, compare):
        _, output = compare('--lrs', 1e-2, 1e-1, seeds='0')
        assert ('Warning: The best learning rate of arm random, 0.01, is the smallest of the sweep: a better one may lie '
                'beyond it.') in output

    def test_the_metric_that_decides_and_its_direction(self, compare, folder):
        """The fake's loss does not depend on the rate, so the smallest is chosen, as in a tie."""
        _, output = compare('--lrs', 1e-3, 1e-2, '--select-metric', 'loss', seeds='0')
        assert 'lowest loss' in output and set(summary(folder)['lr']) == {0.001}
        _, output = compare('--lrs', 1e-3, 1e-2, '--lower-is-better', '--metric', 'accuracy/top1', seeds='0')
        assert 'lowest accuracy/top1' in output and set(summary(folder)['lr']) == {0.001}

    def test_a_rate_that_diverged_is_not_chosen(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'nan'})
        assert compare('--lrs', 1e-2, 1e-1, seeds='0')[0] == 0
        assert set(summary(folder)['lr']) == {0.1}
        assert results(folder).set_index('lr').loc[0.01, 'status'] == 'diverged'

    def test_a_metric_that_is_not_there(self, compare):
        status, output = compare('--lrs', 1e-2, 1e-1, '--metric', 'mAP')
        assert status == 2 and 'random-seed0-lr0.01 has no metric mAP; found accuracy/top1, loss. Correct --metric' in output

    def test_without_a_name_the_first_metric_of_the_validation_decides(self, compare, folder):
        """Its direction comes from its name: the loss is lowest where the accuracy is best."""
        behave(folder, **{f'random-seed0-lr{lr}': 'val_loss' for lr in (0.001, 0.01, 0.1)})
        status, output = compare('--lrs', 1e-3, 1e-2, 1e-1, seeds='0')
        assert status == 0 and set(summary(folder)['lr']) == {0.01} and 'lowest val/loss' in output

    def test_or_one_has_to_be_given(self, compare, folder):
        behave(folder, **{f'{arm}-seed0-lr{lr}': 'no_val' for arm in ('language', 'random') for lr in (0.01, 0.1)})
        status, output = compare('--lrs', 1e-2, 1e-1, seeds='0')
        assert status == 2 and ('random-seed0-lr0.01 has no metric of a validation to choose the learning rate by; found '
                                'loss. Give --metric or --select-metric.') in output
        status, output = compare('--lrs', 1e-2, 1e-1, '--select-metric', 'loss', seeds='0')
        assert status == 0 and 'No run has a metric of a validation. Give --metric, for example --metric loss.' in output
        assert compare('--lrs', 1e-2, 1e-1, '--metric', 'loss', seeds='0')[0] == 0
        assert summary(folder, 'loss').loc['language', 'mean'] == 1

    def test_no_rate_that_works(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'nan', 'random-seed0-lr0.1': 'nan'})
        status, output = compare('--lrs', 1e-2, 1e-1)
        assert status == 2 and 'None of 0.01, 0.1 has a score: every run diverged' in output
        assert results(folder)['status'].tolist() == ['diverged', 'diverged'], 'what there is, is written'
        status, output = compare('--lrs', 1e-2, 1e-1, '--lr-rule', 'per-arm', seeds='0')
        assert status == 0 and summary(folder).loc['random', 'diverged'] == 1, 'shown, not dropped'
        assert 'Arm random diverged at every setting of the sweep; it is shown with 0.01.' in output
        assert 'learning rate of arm random' not in output and 'The best learning rate of arm language, 0.1, is' in output

    def test_per_arm_where_none_validated(self, compare, folder):
        behave(folder, **{f'{arm}-seed0-lr{lr}': 'fail' for arm in ('language', 'random') for lr in (0.01, 0.1)})
        arguments = ('--lrs', 1e-2, 1e-1, '--lr-rule', 'per-arm', '--keep-going')
        status, output = compare(*arguments, seeds='0')
        assert status == 1 and 'Arm random failed at every setting of the sweep' in output


class TestStandardDeviation:
    """The fake's random_tuned is best at 0.04, and there at the learning rate 0.1."""
    ARMS = dict(arms='random random_tuned', seeds='0 1')

    def test_it_is_chosen_at_the_rate_of_the_config(self, compare, folder):
        status, output = compare('--stds', 0.02, 0.04, 0.08, **self.ARMS)
        assert status == 0 and 'random_tuned is drawn with standard deviation 0.04, the best of 0.02, 0.04, 0.08' in output
        assert sorted(starts(folder)) == sorted(
            [f'random_tuned-seed0-lr0.01-std{std}' for std in ('0.02', '0.04', '0.08')]
            + ['random_tuned-seed1-lr0.01-std0.04', 'random-seed0-lr0.01', 'random-seed1-lr0.01'])
        language = request(folder, 'random_tuned-seed1-lr0.01-std0.04')['model']['backbone']['language']
        assert (language['arm'], language['init_std']) == ('random_tuned', 0.04)
        assert 'init_std' not in request(folder, 'random-seed0-lr0.01')['model']['backbone']['language']
        table = results(folder)
        assert table[table['arm'] == 'random_tuned']['init_std'].tolist() == [0.02, 0.04, 0.08, 0.04]

    def test_per_arm_it_is_chosen_together_with_the_rate(self, compare, folder):
        status, _ = compare('--stds', 0.02, 0.04, '--lrs', 1e-2, 1e-1, '--lr-rule', 'per-arm', **self.ARMS)
        assert status == 0 and summary(folder)['lr'].to_dict() == dict(random=0.01, random_tuned=0.1)
        assert len(starts(folder)) == 2 + 4 + 2

    def test_by_the_rule_baseline_it_is_chosen_at_the_baseline_s_rate(self, compare, folder):
        status, output = compare('--stds', 0.04, 0.08, '--lrs', 1e-2, 1e-1, **self.ARMS)
        assert status == 0 and set(summary(folder)['lr']) == {0.01}
        assert starts(folder)[:4] == ['random-seed0-lr0.01', 'random-seed0-lr0.1', 'random_tuned-seed0-lr0.01-std0.04',
                                      'random_tuned-seed0-lr0.01-std0.08']
        assert ('Warning: The best standard deviation of arm random_tuned, 0.04, is the smallest of the sweep: a better one '
                'may lie beyond it.') in output

    def test_its_probe_says_so_too(self, compare, folder):
        (folder / 'probe.py').write_text(fake_training.PROBE)
        assert compare('--stds', 0.04, '--probe', folder / 'probe.py', arms='random random_tuned', seeds='0')[0] == 0
        probe = request(folder, 'random_tuned-seed0-lr0.01-std0.04/probes/probe')
        assert probe['model']['backbone']['language']['init_std'] == 0.04

    def test_a_dry_run_says_what_is_not_known_yet(self, compare, folder):
        status, output = compare('--stds', 0.04, 0.08, '--lrs', 1e-2, 1e-1, '--dry-run', **self.ARMS)
        assert status == 0 and "'model.backbone.language.init_std=<best of the sweep>'" in output

    def test_without_values_it_cannot_start(self, compare, folder):
        status, output = compare(**self.ARMS)
        assert status == 2 and '--arms random_tuned: there is no standard deviation to draw it with. Give --stds' in output
        assert not starts(folder)

    def test_a_random_arm_of_unknown_scale_stops_before_the_first_run(self, compare, folder):
        config = fake_training.CONFIG.replace("checkpoint='none'", "config=dict(model_type='llama', hidden_size=64)")
        (folder / 'bridge.py').write_text(config)
        status, output = compare()
        assert status == 2 and 'does not state initializer_range, the standard deviation that a random start' in output
        assert not starts(folder)
        assert compare('--cfg-options', 'model.backbone.language.init_std=0.04', seeds='0')[0] == 0


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


class TestProbes:

    def test_each_run_s_probe_starts_from_its_last_checkpoint(self, compare, folder):
        status, output = compare('--probe', folder / 'probe.py', '--cfg-options', 'model.backbone.width=16', 'data_root=a',
                                 'train_cfg.max_epochs=4', '--probe-cfg-options', 'log_level=INFO', seeds='0 1')
        assert status == 0
        for run in ('language-seed0-lr0.01', 'random-seed1-lr0.01'):
            config = request(folder, f'{run}/probes/probe')
            backbone = config['model']['backbone']
            assert backbone['init_cfg']['checkpoint'] == str(folder / 'out' / 'runs' / run / 'epoch_4.pth')
            assert backbone['width'] == 16 and config['data_root'] == 'a' and config['log_level'] == 'INFO'
            assert (backbone['language']['arm'], config['randomness']['seed']) == (run.split('-')[0], int(run[-8]))
        table = results(folder)
        assert table['probe/accuracy/top1'].tolist() == (table['accuracy/top1'] / 2).tolist()
        assert set(table['probe/status']) == {'finished'}
        assert set(pd.read_csv(folder / 'out' / 'summary.csv')['metric']) == {'accuracy/top1', 'probe/accuracy/top1'}
        assert set(pd.read_csv(folder / 'out' / 'curves.csv')['metric']) == {
            'accuracy/top1', 'probe/accuracy/top1', 'loss', 'probe/loss'}

    def test_the_sweep_trains_them_only_if_their_metric_decides(self, compare, folder):
        compare('--probe', folder / 'probe.py', '--lrs', 1e-2, 1e-1, seeds='0')
        assert starts(folder).count('probe') == 2
        compare('--probe', folder / 'probe.py', '--lrs', 1e-2, 1e-1, '--select-metric', 'probe/accuracy/top1', seeds='0')
        assert starts(folder).count('probe') == 3

    def test_a_run_that_diverged_is_not_probed(self, compare, folder):
        behave(folder, **{'language-seed0-lr0.01': 'nan'})
        assert compare('--probe', folder / 'probe.py', seeds='0')[0] == 0
        assert starts(folder).count('probe') == 1
        assert summary(folder, 'probe/accuracy/top1').loc['language', 'diverged'] == 1

    def test_a_probe_that_is_done_does_not_need_the_checkpoint_any_more(self, compare, folder):
        compare('--probe', folder / 'probe.py', seeds='0')
        for path in (folder / 'out' / 'runs').glob('*/epoch_4.pth'):
            path.unlink()
        assert compare('--probe', folder / 'probe.py', seeds='0')[0] == 0 and len(starts(folder)) == 4
        (folder / 'later.py').write_text(fake_training.PROBE)
        status, output = compare('--probe', folder / 'later.py', seeds='0')
        assert status == 1 and ('has no last checkpoint (epoch_4.pth is absent or incomplete). If it was removed, start '
                                'this run afresh.') in output

    def test_it_gets_the_options_that_its_config_has_a_place_for(self, compare, folder):
        (folder / 'probe.py').write_text(fake_training.PROBE + 'data = dict(pipeline=[dict(data_root=1), dict(type=1)])')
        given = ('model.backbone.depth=3', 'model.head.classes=3', 'data.pipeline.0.data_root=a',
                 'data.pipeline.1.data_root=a', 'data.dataset.data_root=a')
        (folder / 'bridge.py').write_text(fake_training.CONFIG + 'data = dict(pipeline=[dict(), dict()])')
        assert compare('--probe', folder / 'probe.py', '--cfg-options', *given, seeds='0')[0] == 0
        config = request(folder, 'random-seed0-lr0.01/probes/probe')
        assert config['data'] == dict(pipeline=[dict(data_root='a'), dict(type=1)])
        assert config['model']['backbone']['depth'] == 3 and 'head' not in config['model']

    @pytest.mark.parametrize('name', ('bridge', 'train', 'test'))
    def test_a_name_with_which_metrics_of_the_run_itself_begin(self, compare, folder, name):
        (folder / 'more').mkdir()
        (folder / 'more' / f'{name}.py').write_text(fake_training.PROBE)
        status, output = compare('--probe', folder / 'more' / f'{name}.py')
        assert status == 2 and 'none can be called bridge, train, test, accuracy, coco. Rename it.' in output

    def test_a_config_that_takes_no_bridge_is_refused(self, compare, folder):
        (folder / 'plain.py').write_text(fake_training.CONFIG)
        status, output = compare('--probe', folder / 'plain.py')
        assert status == 2 and "plain.py: expected one init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=...)" in output
        assert not starts(folder)


class TestRunning:

    def test_what_is_done_is_not_done_again(self, compare, folder):
        compare(seeds='0')
        assert compare(seeds='0 1')[0] == 0
        assert sorted(starts(folder)) == [f'{arm}-seed{seed}-lr0.01' for arm in ('language', 'random') for seed in (0, 1)]
        compare('--fresh', seeds='0')
        assert len(starts(folder)) == 6

    def test_afresh_removes_the_runs_and_nothing_else(self, compare, folder):
        compare('--probe', folder / 'probe.py', seeds='0')
        run = folder / 'out' / 'runs' / 'random-seed0-lr0.01'
        for path in (folder / 'out' / 'mine.txt', run / 'mine.txt', run / 'probes' / 'probe' / 'mine.txt'):
            path.write_text('mine')
        status, output = compare('--probe', folder / 'probe.py', '--fresh', seeds='0')
        assert status == 0 and len(starts(folder)) == 8
        assert f'Left in {run}, since no run of ours wrote it: environment.json, mine.txt, probes\n' in output
        assert (folder / 'out' / 'mine.txt').exists() and len(list(folder.rglob('mine.txt'))) == 3

    def test_afresh_removes_nothing_where_the_folder_of_one_run_is_not_ours(self, compare, folder):
        compare(seeds='0')
        request = folder / 'out' / 'runs' / 'random-seed0-lr0.01' / 'request.json'
        request.write_text('{"url": 1}')
        status, output = compare('--fresh', seeds='0')
        assert status == 2 and f'{request} was not written by a run of lbbt_mm' in output and len(starts(folder)) == 2
        assert (folder / 'out' / 'runs' / 'language-seed0-lr0.01' / 'done').is_file()

    @pytest.mark.parametrize('name', report.RESULTS)
    def test_results_of_somebody_else_are_refused_before_training(self, compare, folder, name):
        mine = folder / 'out' / name
        mine.parent.mkdir()
        mine.write_text('mine')
        for more in ((), ('--fresh', ), ('--report-only', )):
            status, output = compare(*more, seeds='0')
            assert status == 2 and output == (f'{mine} was not written by a run of ours, and it would be overwritten. '
                                              'Nothing '
                                              'was touched: give another folder, or move that file away.\n')
        assert not starts(folder) and list(mine.parent.iterdir()) == [mine] and mine.read_text() == 'mine'

    def test_our_own_are_replaced_even_if_a_fresh_start_was_killed(self, compare, folder, monkeypatch):
        compare(seeds='0')

        def killed(*arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(experiment, 'train', killed)
            assert compare('--fresh', seeds='0')[0] == 130
        assert not list((folder / 'out').rglob('request.json')) and compare(seeds='0')[0] == 0

    def test_a_file_in_place_of_the_folder(self, compare, folder):
        (folder / 'out').write_text('mine')
        status, output = compare(seeds='0')
        assert status == 2 and output.count('\n') == 1 and 'out is not a folder' in output
        assert (folder / 'out').read_text() == 'mine'

    def test_another_experiment_s_folder_is_refused(self, compare, folder):
        compare(seeds='0')
        status, output = compare('--cfg-options', 'model.backbone.width=16', seeds='0')
        assert status == 2 and len(starts(folder)) == 2
        assert 'holds another experiment: model.backbone.width is 8 there, 16 asked.' in output

    def test_a_failure_ends_it_with_the_log(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'fail'})
        status, output = compare()
        assert status == 1 and 'FileNotFoundError: no such images' in output and 'random-seed0-lr0.01/train.log' in output
        assert starts(folder) == ['language-seed0-lr0.01', 'random-seed0-lr0.01']
        behave(folder)
        assert compare()[0] == 0 and set(results(folder)['status']) == {'finished'}

    def test_other_running_jobs_end_first(self, compare, folder):
        behave(folder, **{'language-seed0-lr0.01': 'fail'})
        assert compare('--jobs', 2)[0] == 1
        assert results(folder).set_index(['arm', 'seed'])['status'][('random', 0)] == 'finished'
        assert len(starts(folder)) < 6, 'the rest is not begun'

    def test_or_it_keeps_going(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'fail'})
        status, output = compare('--keep-going')
        assert status == 1 and 'failed 1/3' in output and len(starts(folder)) == 6
        assert summary(folder).loc['random', 'failed'] == 1 and summary(folder).loc['language', 'pairs'] == 2

    def test_a_sweep_without_the_run_that_failed(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'fail'})
        assert compare('--lrs', 1e-2, 1e-1, seeds='0')[0] == 1 and starts(folder) == ['random-seed0-lr0.01']
        status, output = compare('--lrs', 1e-2, 1e-1, '--keep-going', seeds='0')
        assert status == 1 and 'Warning: The sweep is without random-seed0-lr0.01, which failed.' in output
        assert set(summary(folder)['lr']) == {0.1}
        _, output = compare('--lrs', 1e-2, 1e-1, '--report-only', seeds='0')
        assert 'No setting is chosen yet' in output

    def test_jobs_share_the_cores_and_take_gpus_in_turn(self, compare, folder, monkeypatch):
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
        monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))
        assert compare('--gpus', '3,5', seeds='0 1')[0] == 0
        found = [json.loads(path.read_text()) for path in (folder / 'out' / 'runs').glob('*/environment.json')]
        assert {env['CUDA_VISIBLE_DEVICES'] for env in found} == {'3', '5'}
        assert {env['OMP_NUM_THREADS'] for env in found} == {'4'}

    def test_ctrl_c_leaves_it_resumable(self, compare, folder):
        behave(folder, **{'random-seed0-lr0.01': 'hang'})
        hangs = folder / 'out' / 'runs' / 'random-seed0-lr0.01' / 'hangs'

        def interrupt():
            while not hangs.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        status, output = compare(seeds='0')
        assert status == 130 and 'The same command goes on from the last checkpoints, or from the start' in output
        behave(folder)
        assert compare(seeds='0')[0] == 0
        assert starts(folder) == ['language-seed0-lr0.01', 'random-seed0-lr0.01', 'random-seed0-lr0.01']
        assert (folder / 'out/runs/random-seed0-lr0.01/attempt2').is_dir(), 'it went on from epoch 2'

    def test_shares_are_disjoint_and_wait_for_the_sweep(self, compare, folder):
        arguments = ('--lrs', 1e-2, 1e-1)
        status, output = compare(*arguments, '--shard', '0/2')
        assert status == 0 and starts(folder) == ['random-seed0-lr0.01']
        assert 'No setting yet for language, random: the sweep lacks random-seed0-lr0.1, which other' in output
        compare(*arguments, '--shard', '1/2')
        compare(*arguments, '--shard', '0/2')
        assert len(starts(folder)) == len(set(starts(folder))) == 7
        assert compare(*arguments, '--report-only')[0] == 0 and set(results(folder)['status']) == {'finished'}

    def test_a_run_stays_in_its_share_whichever_arms_have_a_rate(self, compare, folder):
        """After shares 0 and 1 the language arm alone has ended its sweep."""
        arguments = ('--lrs', 1e-2, 1e-1, '--lr-rule', 'per-arm', '--shard')

        def planned(share):
            lines = compare(*arguments, f'{share}/3', '--dry-run')[1].split('# Comparison')[1].splitlines()
            return [tuple(re.findall(r'language.(?:arm|seed)=(\w+)', line)) for line in lines if 'language.' in line]

        before = [planned(share) for share in range(3)]
        assert before[1] == [('random', '0'), ('language', '2')] and len({run for runs in before for run in runs}) == 6
        compare(*arguments, '0/3')
        compare(*arguments, '1/3')
        assert starts(folder) == ['language-seed0-lr0.01', 'random-seed0-lr0.1', 'language-seed0-lr0.1',
                                  'language-seed2-lr0.1']
        assert [planned(share) for share in range(3)] == before
        compare(*arguments, '2/3')
        assert starts(folder)[4:] == ['random-seed0-lr0.01', 'language-seed1-lr0.1', 'random-seed2-lr0.01']

    def test_a_slurm_array_is_shares(self):
        array = {f'SLURM_ARRAY_TASK_{name}': value for name, value in dict(ID='5', COUNT='3', MIN='1', STEP='2').items()}
        assert arguments.read_shard(None, array) == (2, 3)
        assert arguments.read_shard(None, {**array, 'SLURM_ARRAY_TASK_MAX': '6'}) == (2, 3)  # --array=1-6:2
        assert arguments.read_shard('1/4', array) == (1, 4) and arguments.read_shard(None, {}) == (0, 1)
        for text in ('4/4', '-1/2', 'a', '1'):
            with pytest.raises(ValueError, match='expected I/N with I from 0 to N - 1'):
                arguments.read_shard(text, {})

    @pytest.mark.parametrize('task', [dict(ID=0, COUNT=3, MIN=0, MAX=5), dict(ID=5, COUNT=3, MIN=0, MAX=5),
                                      dict(ID=3, COUNT=1, MIN=3, MAX=3)])
    def test_a_slurm_array_that_does_not_tell_the_share_is_refused(self, task):
        with pytest.raises(ValueError, match=f'task {task["ID"]} of a slurm array of .* Give --shard I/N'):
            arguments.read_shard(None, {f'SLURM_ARRAY_TASK_{name}': str(value) for name, value in task.items()})

    @pytest.mark.parametrize('number', ['0', '1'])
    def test_a_slurm_array_of_one_task_does_all_runs(self, number):
        task = dict.fromkeys(('ID', 'MIN', 'MAX'), number)
        assert arguments.read_shard(None, {f'SLURM_ARRAY_TASK_{name}': value
                                              for name, value in dict(task, COUNT='1').items()}) == (0, 1)

    def test_a_dry_run_prints_the_commands_and_trains_nothing(self, compare, folder):
        status, output = compare('--lrs', 1e-2, 1e-1, '--probe', folder / 'probe.py', '--dry-run', seeds='0')
        assert status == 0 and not starts(folder) and not (folder / 'out').exists()
        commands = [line for line in output.splitlines() if 'bridge.py' in line]
        assert len(commands) == 4 and all('--resume --cfg-options' in line for line in commands)
        assert commands[0].endswith(f'randomness.seed=0 {LR}=0.01')
        assert f"'{LR}=<best of the sweep>'" in commands[2] and '<last checkpoint of' in output
        assert "runs/language-seed0-lr<best of the sweep>' --resume" in commands[2], 'as the folder will be called'
        assert [command.startswith('# one of the sweep: ') for command in commands] == [False, False, False, True]
        assert output.splitlines()[-1] == '# trainings: 5, done: 0'
        compare('--lrs', 1e-2, 1e-1, '--probe', folder / 'probe.py', seeds='0')
        output = compare('--lrs', 1e-2, 1e-1, '--probe', folder / 'probe.py', '--dry-run', seeds='0')[1]
        assert output.splitlines()[-1] == '# trainings: 5, done: 5' and '<best' not in output

    def test_a_dry_run_counts_each_training_once(self, compare, folder):
        arguments = ('--lrs', 1e-2, 1e-1, '--probe', folder / 'probe.py', '--metric', 'probe/accuracy/top1')

        def counts(*more):
            return [tuple(map(int, re.findall(r'\d+', compare(*arguments, *more, '--dry-run', '--shard', share)[1]
                                              .splitlines()[-1]))) for share in ('0/1', '0/2', '1/2')]

        before = counts()
        assert before[0] == (2 * (2 + 5), 0), 'a sweep of two rates, five more runs, each with its probe'
        assert before[1][0] + before[2][0] == before[0][0]
        compare(*arguments)
        assert counts() == [(number, number) for number, _ in before]
        assert compare(*arguments, '--dry-run', '--fresh')[1].splitlines()[-1].endswith('done: 0')

    def test_a_dry_run_plans_no_probe_of_a_run_that_diverged(self, compare, folder):
        behave(folder, **{'language-seed0-lr0.01': 'nan'})
        arguments = ('--probe', folder / 'probe.py')
        assert compare(*arguments, '--dry-run', seeds='0')[1].splitlines()[-1] == '# trainings: 4, done: 0'
        compare(*arguments, seeds='0')
        output = compare(*arguments, '--dry-run', seeds='0')[1]
        assert output.splitlines()[-1] == '# trainings: 3, done: 3'

    def test_the_baseline_arm_must_be_among_the_arms(self, compare, capfd):
        with pytest.raises(SystemExit):
            compare(arms='language host')
        assert '--baseline-arm random is not among --arms language host' in capfd.readouterr().err
        assert compare('--baseline-arm', 'host', arms='language host', seeds='0')[0] == 0


def test_help():
    status, output = run_tool('compare_arms.py', '--help')
    assert status == 0
    for word in ('--arms', '--lr-rule', 'random labels included', 'section 6', '--shard', '--report-only'):
        assert word in output
