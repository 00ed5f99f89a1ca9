"""How learning rates and standard deviations are chosen, and what is said of the choice."""
from lbbt_mm.experiments.choose import Choice
from lbbt_mm.experiments.collect import Outcome, StageOutcome
from lbbt_mm.experiments.plan import Plan
from tests.experiment_folder import request, results, summary
from tests.fake_training import behave, starts


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
        assert status == 2 and 'None of random-seed0-lr0.01, random-seed0-lr0.1 has a score: every run diverged' in output
        assert results(folder)['status'].tolist() == ['diverged', 'diverged'], 'the results so far are written'
        status, output = compare('--lrs', 1e-2, 1e-1, '--lr-rule', 'per-arm', seeds='0')
        assert status == 0 and summary(folder).loc['random', 'diverged'] == 1, 'shown, not dropped'
        assert 'Arm random diverged at every setting of the sweep; it is shown with 0.01.' in output
        assert 'learning rate of arm random' not in output and 'The best learning rate of arm language, 0.1, is' in output

    def test_per_arm_where_none_validated(self, compare, folder):
        behave(folder, **{f'{arm}-seed0-lr{lr}': 'fail' for arm in ('language', 'random') for lr in (0.01, 0.1)})
        arguments = ('--lrs', 1e-2, 1e-1, '--lr-rule', 'per-arm', '--keep-going')
        status, output = compare(*arguments, seeds='0')
        assert status == 1 and 'Arm random failed at every setting of the sweep' in output

    def test_the_sweep_trains_them_only_if_their_metric_decides(self, compare, folder):
        compare('--probe', folder / 'probe.py', '--lrs', 1e-2, 1e-1, seeds='0')
        assert starts(folder).count('probe') == 2
        compare('--probe', folder / 'probe.py', '--lrs', 1e-2, 1e-1, '--select-metric', 'probe/accuracy/top1', seeds='0')
        assert starts(folder).count('probe') == 3



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

    def test_a_dry_run_says_what_is_not_known_yet(self, compare, folder):
        status, output = compare('--stds', 0.04, 0.08, '--lrs', 1e-2, 1e-1, '--dry-run', **self.ARMS)
        assert status == 0 and "'model.backbone.language.init_std=<best of the sweep>'" in output


def test_a_choice_reads_nothing_but_what_was_collected(folder):
    """None of these runs is on the disk."""
    plan = Plan(folder / 'bridge.py', folder / 'out', ['language', 'random'], [0], lrs=[0.1, 0.2])
    collected = {run: Outcome({'': StageOutcome('missing', dict(train=[], val=[]))}) for run in plan.all_runs()}
    choice = Choice(plan, collected)
    assert choice.settings == {} and list(map(str, choice.sweep)) == ['random-seed0-lr0.1', 'random-seed0-lr0.2']
    for run in choice.sweep:
        records = dict(train=[], val=[dict(step=1, acc=run.lr)])
        collected[run] = Outcome({'': StageOutcome('finished', records)})
    choice = Choice(plan, collected)
    assert choice.selector == 'acc' and not choice.lower
    assert {label: run.lr for label, run in choice.settings.items()} == dict(language=0.2, random=0.2)
    assert [str(run) for run in plan.comparison(choice.settings)] == ['language-seed0-lr0.2', 'random-seed0-lr0.2']
