"""A run's trainings: its probes start from its checkpoint, and all from the configs that were planned."""
import pandas as pd
import pytest

from lbbt_mm.experiments import trainings
from lbbt_mm.experiments.plan import Plan
from lbbt_mm.runs import training_run
from tests import fake_training
from tests.experiment_folder import request, results
from tests.fake_training import starts


@pytest.mark.parametrize('index, name', ((0, 'bridge.py'), (1, 'probe.py')))
def test_a_config_that_changes_during_the_experiment_stops_it(folder, index, name):
    probe = folder / 'probe.py'
    plan = Plan(folder / 'bridge.py', folder / 'out', ['random'], [0], probes=[probe])
    run, = plan.all_runs()
    trainings.make_training(plan, run).run()
    (folder / 'out' / 'runs' / str(run) / 'done').unlink()  # as if it were still to be done
    step = trainings.make_chain(plan, run, plan.stages[1:]).steps[index]
    step()
    (folder / name).write_text((folder / name).read_text().replace('width=8', 'width=9'))
    with pytest.raises(training_run.OtherRunError, match=f'{name} has changed since this command began'):
        step()


def test_each_run_s_probe_starts_from_its_last_checkpoint(compare, folder):
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


def test_a_probe_that_is_done_does_not_need_the_checkpoint_any_more(compare, folder):
    compare('--probe', folder / 'probe.py', seeds='0')
    for path in (folder / 'out' / 'runs').glob('*/epoch_4.pth'):
        path.unlink()
    assert compare('--probe', folder / 'probe.py', seeds='0')[0] == 0 and len(starts(folder)) == 4
    (folder / 'later.py').write_text(fake_training.PROBE)
    status, output = compare('--probe', folder / 'later.py', seeds='0')
    assert status == 1 and ('has no last checkpoint (epoch_4.pth is absent or incomplete). If it was removed, start '
                            'this run afresh.') in output


def test_its_probe_says_so_too(compare, folder):
    (folder / 'probe.py').write_text(fake_training.PROBE)
    assert compare('--stds', 0.04, '--probe', folder / 'probe.py', arms='random random_tuned', seeds='0')[0] == 0
    probe = request(folder, 'random_tuned-seed0-lr0.01-std0.04/probes/probe')
    assert probe['model']['backbone']['language']['init_std'] == 0.04
