"""What is read of the runs, and that it is read once."""
import pytest

from lbbt_mm.experiments.collect import collect
from lbbt_mm.experiments.plan import Plan
from lbbt_mm.runs import training_run
from tests.fake_training import accuracy, behave


@pytest.fixture
def plan(folder) -> Plan:
    return Plan(folder / 'bridge.py', folder / 'out', ['language', 'random'], [0, 1], lrs=[0.01, 0.1],
                probes=[folder / 'probe.py'])


def test_final_metrics_and_how_each_stage_ended(compare, folder, plan):
    behave(folder, **{'language-seed0-lr0.1': 'nan'})
    compare('--lrs', 0.1, '--probe', folder / 'probe.py', seeds='0 1')
    collected = {str(run): outcome for run, outcome in collect(plan).items()}
    assert len(collected) == 8, 'those that are not there too'
    assert collected['language-seed0-lr0.1'].statuses == {'': 'diverged', 'probe/': 'diverged'}
    assert collected['random-seed0-lr0.01'].statuses == {'': 'missing', 'probe/': 'missing'}
    found = collected['random-seed1-lr0.1']
    assert found.statuses == {'': 'finished', 'probe/': 'finished'}
    assert found.metrics == {'accuracy/top1': accuracy('random', 1, 0.1), 'loss': 1,
                             'probe/accuracy/top1': accuracy('random', 1, 0.01, probe=True), 'probe/loss': 1}
    assert found.validated == ['accuracy/top1', 'probe/accuracy/top1']
    assert [found.owner(metric) for metric in ('loss', 'probe/loss', 'probes')] == ['', 'probe/', '']


def test_each_training_is_read_once(compare, folder, plan, monkeypatch):
    compare('--lrs', 0.01, 0.1, '--probe', folder / 'probe.py', seeds='0 1')
    read, plain = [], training_run.read_records
    monkeypatch.setattr(training_run, 'read_records', lambda work_dir: read.append(work_dir) or plain(work_dir))
    collect(plan)
    assert len(read) == len(set(read)) == 8 * 2
    read.clear()
    assert compare('--lrs', 0.01, 0.1, '--probe', folder / 'probe.py', '--report-only', seeds='0 1')[0] == 0
    assert len(read) == len(set(read)) == 8 * 2, 'for all tables and curves together'
