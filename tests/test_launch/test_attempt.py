"""What a refused run takes away again: what it made, and nothing else."""
import logging
import subprocess
import sys

import pytest
from mmengine.logging import MMLogger

from lbbt_mm.launch import attempt
from lbbt_mm.launch.attempt import undone_if_refused
from lbbt_mm.launch.user_errors import note_begun
from lbbt_mm.launch.work_directory import only_training

DUMPED = "launcher = 'none'\nwork_dir = 'work'\n"


@pytest.fixture(autouse=True)
def not_begun():
    note_begun(False)
    yield
    note_begun(False)


def make(folder, name):
    """What a runner makes before its first step: a folder with a log, and its config."""
    (folder / name).mkdir(parents=True)
    MMLogger.get_instance(name, log_file=str(folder / name / f'{name}.log'))
    (folder / 'config.py').write_text(DUMPED + f'z = {name!r}\n')


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob('*')}


@pytest.fixture(autouse=True)
def loggers():
    before = dict(MMLogger._instance_dict)
    yield
    for name in set(MMLogger._instance_dict) - set(before):
        for handler in MMLogger._instance_dict.pop(name).handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()


def test_a_folder_that_was_not_there_is_gone_with_those_above(tmp_path):
    with pytest.raises(ValueError), undone_if_refused([tmp_path / 'a' / 'b'], only_training(tmp_path / 'a' / 'b')):
        make(tmp_path / 'a' / 'b', 'run')
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_run_and_files_of_others_stay(tmp_path):
    make(tmp_path, 'earlier')
    MMLogger._instance_dict.pop('earlier')
    (tmp_path / 'training.lock').write_text('7\n')
    before = contents(tmp_path)
    with pytest.raises(ValueError), undone_if_refused([tmp_path], only_training(tmp_path)):
        make(tmp_path, 'later')
        raise ValueError
    assert contents(tmp_path) == before


def test_what_is_new_and_of_somebody_else_stays(tmp_path):
    with pytest.raises(ValueError), undone_if_refused([tmp_path / 'work']):
        make(tmp_path / 'work', 'mine')
        (tmp_path / 'work' / 'other').mkdir()
        (tmp_path / 'work' / 'notes.txt').write_text('x')
        raise ValueError
    assert sorted(path.name for path in (tmp_path / 'work').iterdir()) == ['notes.txt', 'other']


def test_a_run_that_has_begun_leaves_what_it_made(tmp_path):
    with pytest.raises(ValueError), undone_if_refused([tmp_path / 'work'], only_training(tmp_path / 'work')):
        make(tmp_path / 'work', 'begun')
        note_begun()
        raise ValueError
    assert {'begun', 'config.py', 'training.lock'} == {path.name for path in (tmp_path / 'work').iterdir()}


def test_it_is_undone_before_another_training_can_be_there(tmp_path, monkeypatch):
    work, held = tmp_path / 'work', []
    restore = attempt._Folder.restore

    def look(folder):
        code = f'from lbbt_mm.launch.work_directory import only_training\nwith only_training({str(work)!r}): pass'
        held.append(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True))
        restore(folder)

    monkeypatch.setattr(attempt._Folder, 'restore', look)
    with pytest.raises(ValueError), undone_if_refused([work], only_training(work)):
        raise ValueError
    assert held[0].returncode and 'another training is running' in held[0].stderr and not work.exists()
