"""Which runs there are, and the keys that they differ in."""
import pytest

from lbbt_mm.experiments.plan import Plan
from lbbt_mm.experiments.source import Source
from tests import fake_training
from tests.experiment_folder import request, results
from tests.fake_training import starts

LR = 'optim_wrapper.optimizer.lr'


def flat(value, key=''):
    if not isinstance(value, dict):
        return {key: value}
    return {name: leaf for part, item in value.items()
            for name, leaf in flat(item, f'{key}.{part}' if key else part).items()}


def test_arms_differ_in_one_key_and_seeds_in_two(compare, folder):
    assert compare(seeds='0 1')[0] == 0
    first = flat(request(folder, 'language-seed0-lr0.01'))
    for other, keys in (('random-seed0-lr0.01', {'model.backbone.language.arm'}),
                        ('language-seed1-lr0.01', {'model.backbone.language.seed', 'randomness.seed'})):
        other = flat(request(folder, other))
        assert {key for key in first if first[key] != other[key]} == keys and first.keys() == other.keys()


def test_the_learning_rate_is_the_config_s_unless_it_is_asked_for(compare, folder):
    assert compare(seeds='0')[0] == 0
    assert set(results(folder)['lr']) == {0.01}
    assert compare('--lrs', 0.3, seeds='0')[0] == 0
    assert set(results(folder)['lr']) == {0.3}
    assert request(folder, 'random-seed0-lr0.3')['optim_wrapper']['optimizer']['lr'] == 0.3


@pytest.mark.parametrize('option', ('model.backbone.language.arm=host', 'randomness.seed=4', f'{LR}=1'))
def test_the_keys_it_varies_cannot_be_overridden(compare, option):
    status, output = compare('--lrs', 0.1, '--cfg-options', option)
    assert status == 2 and f'--cfg-options {option}: this key is what the experiment varies.' in output


@pytest.mark.parametrize('option', ('model.backbone.language.arm=host', 'randomness.seed=4'))
def test_nor_can_those_of_the_probes(compare, folder, option):
    status, output = compare('--probe', folder / 'probe.py', '--probe-cfg-options', option)
    assert status == 2 and f'--probe-cfg-options {option}: this key is what the experiment varies.' in output


def test_without_values_it_cannot_start(compare, folder):
    status, output = compare(arms='random random_tuned')
    assert status == 2 and '--arms random_tuned: there is no standard deviation to draw it with. Give --stds' in output
    assert not starts(folder)


@pytest.mark.parametrize('options, message', [
    ('--probe-cfg-options model.backbone.width=4', '--probe-cfg-options: there is no probe. Give --probe, or leave'),
    ('--checkpoint best', '--checkpoint best: there is no probe. Give --probe, or leave this out.'),
    ('--stds 0.02 0.04', '--stds: no arm of --arms language random is drawn with them. Add random_tuned to --arms, or'),
    ('--select-metric loss', '--select-metric loss: there is nothing to choose from. Give --lrs two values or more'),
    ('--select-metric loss --lrs 0.1', '--select-metric loss: there is nothing to choose from.'),
    ('--lower-is-better', '--lower-is-better: there is nothing to choose from.'),
    ('--lr-rule per-arm --lrs 0.1', '--lr-rule per-arm: there is nothing to choose from.')])
def test_options_that_nothing_would_read_are_refused(compare, folder, options, message):
    status, output = compare(*options.split())
    assert status == 2 and output.startswith(message) and output.count('\n') == 1 and not (folder / 'out').exists()


@pytest.mark.parametrize('options, arms', [
    ('--probe probe.py --probe-cfg-options model.backbone.width=4', 'language random'),
    ('--lrs 0.1 0.2 --select-metric loss --lower-is-better --lr-rule per-arm', 'language random'),
    ('--stds 0.02 0.04 --select-metric loss --lower-is-better --lr-rule per-arm', 'random random_tuned')])
def test_and_taken_where_something_reads_them(compare, folder, options, arms, monkeypatch):
    monkeypatch.chdir(folder)
    status, output = compare(*options.split(), '--dry-run', arms=arms)
    assert status == 0, output


def test_each_cell_has_to_keep_the_best_checkpoint_that_probes_take(compare, folder):
    key = 'default_hooks.checkpoint.save_best'
    best = ('--probe', folder / 'probe.py', '--checkpoint', 'best')
    status, output = compare(*best, '--cell', 'kept', f'{key}=auto', '--cell', 'both', f'{key}=a,b')
    assert status == 2 and f"--checkpoint best: {folder}/bridge.py, cell both has {key}=['a', 'b']; expected the" in output
    assert not starts(folder)
    assert compare(*best, '--cells', f'{key}=auto,a', '--dry-run')[0] == 0


def test_a_random_arm_of_unknown_scale_stops_before_the_first_run(compare, folder):
    config = fake_training.CONFIG.replace("checkpoint='none'", "config=dict(model_type='llama', hidden_size=64)")
    (folder / 'bridge.py').write_text(config)
    status, output = compare()
    assert status == 2 and 'does not state initializer_range, the standard deviation that a random start' in output
    assert not starts(folder)
    assert compare('--cfg-options', 'model.backbone.language.init_std=0.04', seeds='0')[0] == 0


class TestSources:

    def test_each_has_every_arm_in_folders_that_begin_with_its_name(self, folder):
        sources = [Source('a', '/models/of, mine'), Source('b', 'hub/b')]
        plan = Plan(folder / 'bridge.py', folder / 'out', ['language', 'random'], [0, 1], sources,
                    probes=[folder / 'probe.py'])
        runs = plan.all_runs()
        assert len(runs) == 8 and [str(run) for run in runs[:4]] == [
            'a-language-seed0-lr0.01', 'a-random-seed0-lr0.01', 'b-language-seed0-lr0.01', 'b-random-seed0-lr0.01']
        for stage in plan.stages:
            first, last = plan.overrides(runs[0], stage), plan.overrides(runs[-1], stage)
            assert 'model.backbone.language.checkpoint="/models/of, mine"' in first
            assert {'model.backbone.language.checkpoint=hub/b', 'model.backbone.language.config=None'} <= set(last)

    def test_one_alone_needs_no_name(self, folder):
        plan = Plan(folder / 'bridge.py', folder / 'out', ['language'], [0], [Source('a', 'hub/a')], baseline='language')
        assert [str(run) for run in plan.all_runs()] == ['language-seed0-lr0.01']
        assert 'model.backbone.language.checkpoint=hub/a' in plan.overrides(plan.all_runs()[0], plan.stages[0])

    def test_their_keys_cannot_be_overridden(self, compare, folder):
        option = 'model.backbone.language.checkpoint=other'
        status, output = compare('--sources', 'a=x', 'b=y', '--cfg-options', option)
        assert status == 2 and f'--cfg-options {option}: this key is what the experiment varies.' in output


def test_without_arms_there_is_one_run_that_changes_nothing(folder):
    plan = Plan(folder / 'bridge.py', folder / 'out', options=['randomness.seed=3'])
    run, = plan.all_runs()
    assert str(run) == 'language-seed3-lr0.01' and plan.overrides(run, plan.stages[0]) == ['randomness.seed=3']
