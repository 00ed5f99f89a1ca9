"""The folders of an experiment's runs are looked at before one of them is touched."""
import io

import pytest
from rich.console import Console

from lbbt_mm.experiments.results_folder import MARK
from lbbt_mm.experiments.run_folders import check_folders, take_folders
from lbbt_mm.launch.work_directory import OtherRunError
from lbbt_mm.runs.training_run import TrainingRun


@pytest.fixture
def make(folder):
    """Makes a run of the experiment."""
    def make(name, lr=0.1):
        return TrainingRun(folder / 'bridge.py', folder / 'out' / 'runs' / name, [f'optim_wrapper.optimizer.lr={lr}'])
    return make


@pytest.fixture
def out(folder):
    return folder / 'out'


def take(out, trainings, fresh=False):
    said = io.StringIO()
    take_folders(out, 'tool.py', trainings, fresh, Console(file=said, width=200))
    return said.getvalue()


def test_a_check_makes_nothing(out, make):
    check_folders(out, 'tool.py', [make('a')], later=[make('b')])
    assert not out.exists()
    assert take(out, [make('a')]) == '' and (out / MARK).is_file()


def test_a_run_with_other_settings_is_refused_and_fresh_removes_it(out, make):
    first = make('a')
    take(out, [first])
    first.run()
    assert first.status == 'finished'
    for later in ([], [make('b')]):
        with pytest.raises(OtherRunError):
            check_folders(out, 'tool.py', [make('a', lr=0.2)], later=later)
    (first.work_dir / 'mine.txt').write_text('mine')
    check_folders(out, 'tool.py', [make('a', lr=0.2)], fresh=True)
    assert make('a').status == 'finished', 'nothing is removed by a check'
    said = take(out, [make('a', lr=0.2)], fresh=True)
    assert said.startswith(f'Left in {first.work_dir}, since no run of ours wrote it: ') and 'mine.txt' in said
    assert make('a').status == 'missing' and (first.work_dir / 'mine.txt').read_text() == 'mine'


def test_later_runs_count_among_those_that_share_a_folder_of_checkpoints(out, folder, make):
    options = [f'default_hooks.checkpoint.out_dir={folder / "elsewhere"}']
    first, probe = (TrainingRun(folder / 'bridge.py', out / name / 'probe', options) for name in 'ab')
    check_folders(out, 'tool.py', [first])
    with pytest.raises(ValueError, match='would both write their checkpoints into'):
        check_folders(out, 'tool.py', [first], later=[probe])
    assert not out.exists()
