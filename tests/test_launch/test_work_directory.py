"""Which checkpoint a run goes on from, whatever state its folder is in, and that it is alone there."""
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lbbt_mm.launch.checkpoint_owner import claim
from lbbt_mm.launch.work_directory import (checkpoints_in, is_complete, is_first_rank, latest_checkpoint,
                                           numbered_checkpoints, only_training)
from tests.hostile_files import runs_code


def save(path: Path) -> Path:
    torch.save(dict(state_dict=dict(a=torch.ones(100))), path)
    return path


@pytest.fixture
def work_dir(tmp_path) -> Path:
    """Three checkpoints and their marker."""
    folder = tmp_path / 'work'
    folder.mkdir()
    for epoch in (2, 9, 10):
        save(folder / f'epoch_{epoch}.pth')
    save(folder / 'best_accuracy_epoch_11.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_10.pth'))
    return folder


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def test_it_is_the_one_that_the_marker_names(work_dir):
    assert latest_checkpoint(work_dir) == (work_dir / 'epoch_10.pth', '')
    (work_dir / 'last_checkpoint').write_text(f'{work_dir}/epoch_9.pth\n')
    assert latest_checkpoint(work_dir) == (work_dir / 'epoch_9.pth', '')


def test_a_folder_that_moved_has_its_own(work_dir, tmp_path):
    moved = shutil.copytree(work_dir, tmp_path / 'moved')
    assert latest_checkpoint(moved) == (moved / 'epoch_10.pth', ''), 'that of the old place is there too'
    shutil.rmtree(work_dir)
    assert latest_checkpoint(moved) == (moved / 'epoch_10.pth', '')


@pytest.mark.parametrize('marker', [
    b'', b'\n', b'\0\0\0', b'\xff\xfe', b'epoch_1', b'/gone/epoch_77.pth', b'.', b'/', b'..', b'a\0b', b'x' * 10_000])
def test_a_marker_that_is_damaged_or_names_nothing(work_dir, marker):
    (work_dir / 'last_checkpoint').write_bytes(marker)
    found = latest_checkpoint(work_dir)
    assert found.path == work_dir / 'epoch_10.pth' and 'going on from epoch_10.pth, the newest complete' in found.note


def test_no_marker(work_dir):
    (work_dir / 'last_checkpoint').unlink()
    found = latest_checkpoint(work_dir)
    assert found.path == work_dir / 'epoch_10.pth' and 'last_checkpoint is not there: going on' in found.note


@pytest.mark.parametrize('damage', [halve, Path.unlink, *(lambda path, content=content: path.write_bytes(content)
                                                         for content in (b'', b'PK', b'no checkpoint'))])
def test_a_checkpoint_that_is_not_complete(work_dir, damage):
    damage(work_dir / 'epoch_10.pth')
    found = latest_checkpoint(work_dir)
    assert found.path == work_dir / 'epoch_9.pth', 'the highest number, not the last in the alphabet'
    assert 'names epoch_10.pth, which is absent or incomplete' in found.note


def test_nothing_at_all(tmp_path):
    assert latest_checkpoint(tmp_path) is None and latest_checkpoint(tmp_path / 'none') is None
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK half')
    save(tmp_path / 'notes.pth')
    (tmp_path / 'epoch_3.pth').mkdir()
    assert latest_checkpoint(tmp_path) is None


def test_iterations_and_files_of_old_torch(tmp_path):
    torch.save({}, tmp_path / 'iter_400.pth', _use_new_zipfile_serialization=False)
    save(tmp_path / 'iter_80.pth')
    assert latest_checkpoint(tmp_path).path == tmp_path / 'iter_400.pth'
    assert is_complete(tmp_path / 'iter_400.pth') and not is_complete(tmp_path / 'iter_1.pth')


def test_checkpoints_in_a_folder_of_their_own(work_dir, tmp_path):
    """As default_hooks.checkpoint.out_dir puts them: mmengine adds the work directory's name."""
    config = dict(default_hooks=dict(checkpoint=dict(out_dir=str(tmp_path / 'store'))))
    assert latest_checkpoint(work_dir, config) is None
    own = tmp_path / 'store' / 'work'
    own.mkdir(parents=True)
    save(own / 'epoch_1.pth')
    assert latest_checkpoint(work_dir, config) is None, 'nothing says that it is this run\'s'
    claim(work_dir, own)
    assert latest_checkpoint(work_dir, config).path == own / 'epoch_1.pth'
    (work_dir / 'last_checkpoint').write_text(str(save(own / 'epoch_3.pth')))
    save(own / 'epoch_4.pth')
    assert latest_checkpoint(work_dir, config) == (own / 'epoch_3.pth', '')
    for same in ({}, dict(default_hooks=None), dict(default_hooks=dict(checkpoint=None)),
                 dict(default_hooks=dict(checkpoint=dict(out_dir=str(work_dir))))):
        assert latest_checkpoint(work_dir, same).path == work_dir / 'epoch_10.pth'


def test_checkpoints_with_names_of_their_own(tmp_path):
    config = dict(default_hooks=dict(checkpoint=dict(filename_tmpl='m_{}+.pth')))
    for number in (2, 10):
        save(tmp_path / f'm_{number}+.pth')
    assert latest_checkpoint(tmp_path, config).path == tmp_path / 'm_10+.pth'
    assert latest_checkpoint(tmp_path) is None
    for name in ('best_acc_m_10+.pth', 'm_2+-0a1b2c3d.pth', 'm_x+.pth', 'best_m_1.pth', 'epoch_1.pth'):
        (tmp_path / name).touch()
    numbered = ['m_10+.pth', 'm_2+.pth']
    assert [path.name for path in numbered_checkpoints(tmp_path, config)] == numbered
    assert [path.name for path in checkpoints_in(tmp_path, config)] == [*numbered, 'best_acc_m_10+.pth', 'm_2+-0a1b2c3d.pth']
    assert [path.name for path in checkpoints_in(tmp_path)] == ['epoch_1.pth'] and checkpoints_in(tmp_path / 'none') == []


def test_checkpoints_on_a_remote_storage_are_taken_from_the_marker(work_dir):
    config = dict(default_hooks=dict(checkpoint=dict(out_dir='s3://bucket')))
    (work_dir / 'last_checkpoint').write_text('s3://bucket/work/epoch_5.pth')
    assert latest_checkpoint(work_dir, config) == ('s3://bucket/work/epoch_5.pth', '')
    (work_dir / 'last_checkpoint').write_bytes(b'\0')
    assert latest_checkpoint(work_dir, config) is None


def test_one_that_would_run_code_is_complete_so_that_it_is_refused_and_not_passed_over(tmp_path):
    torch.save(runs_code(tmp_path / 'trace'), tmp_path / 'epoch_2.pth')
    save(tmp_path / 'epoch_1.pth')
    assert latest_checkpoint(tmp_path).path == tmp_path / 'epoch_2.pth' and not (tmp_path / 'trace').exists()


HOLD = ('import sys, time; from lbbt_mm.launch.work_directory import only_training\n'
        'with only_training(sys.argv[1]):\n'
        '    print("held", flush=True); time.sleep(60)')


def hold(folder, **env):
    process = subprocess.Popen([sys.executable, '-c', HOLD, folder], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, **env})
    assert process.stdout.readline() == 'held\n'
    return process


def test_the_second_training_in_a_folder_is_refused(tmp_path):
    process = hold(tmp_path / 'work')
    try:
        with pytest.raises(ValueError, match=rf'work: another training is running in this folder \(process {process.pid}\). '
                                             'Wait for it or end it, or choose another --work-dir'):
            with only_training(tmp_path / 'work'):
                raise AssertionError('it was let in')
        with only_training(tmp_path / 'other'):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_training(tmp_path / 'work'):
        pass


@pytest.mark.parametrize('launcher, variable', [
    ('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')])
def test_ranks_of_one_training_do_not_refuse_each_other(tmp_path, monkeypatch, launcher, variable):
    process = hold(tmp_path)
    try:
        monkeypatch.setenv(variable, '1')
        with only_training(tmp_path, dict(launcher=launcher)):
            pass
        monkeypatch.setenv(variable, '0')
        with pytest.raises(ValueError, match='another training'), only_training(tmp_path, dict(launcher=launcher)):
            pass
    finally:
        process.kill()
        process.wait()


def test_a_rank_that_the_environment_has_of_something_else_is_not_this_run_s(monkeypatch):
    """A run without a launcher in a job of slurm's is alone."""
    for variable in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.setenv(variable, '3')
    assert is_first_rank() and is_first_rank(dict(launcher='none')) and not is_first_rank(dict(launcher='slurm'))
    monkeypatch.setenv('RANK', '')
    assert is_first_rank(dict(launcher='pytorch'))


def test_what_killed_trainings_left_half_written_is_removed_in_both_folders(tmp_path):
    work_dir, own = tmp_path / 'work', tmp_path / 'store' / 'work'
    kept = [work_dir / 'notes.part', own / 'epoch_1.pth']
    parts = [work_dir / 'last_checkpoint.17.lbbt_mm.part', own / 'epoch_2.pth.17.lbbt_mm.part']
    for path in (*kept, *parts):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('x')
    config = dict(default_hooks=dict(checkpoint=dict(out_dir=str(tmp_path / 'store'))))
    claim(work_dir, own)
    with only_training(work_dir, config):
        assert (own / 'training.lock').read_text().strip() == str(os.getpid())
    assert all(path.exists() for path in kept) and not any(path.exists() for path in parts)


def test_workers_that_outlive_a_kill_do_not_hold_the_folder(tmp_path):
    """A forked process has the files of its parent open."""
    code = HOLD.replace('print(', 'import os; os.fork() or time.sleep(60); print(')
    process = subprocess.Popen([sys.executable, '-c', code, tmp_path], stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    assert process.stdout.readline() == 'held\n'
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.1)
    try:
        with only_training(tmp_path):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
