"""Whose the checkpoints in a folder outside the work directory are."""
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from lbbt_mm.launch.attempt import undone_if_refused
from lbbt_mm.launch.checkpoint_owner import MARK, RUN_ID, claim, owns
from lbbt_mm.launch.work_directory import checkpoint_folder, latest_checkpoint, only_training, refuse_other_owner


def config(store) -> dict:
    return dict(default_hooks=dict(checkpoint=dict(out_dir=str(store))))


def run(work_dir: Path, store: Path, name: str = 'epoch_1.pth') -> Path:
    """What a run leaves that was killed after a checkpoint."""
    folder = Path(checkpoint_folder(work_dir, config(store)))
    work_dir.mkdir(parents=True, exist_ok=True)
    claim(work_dir, folder)
    torch.save(dict(state_dict={}), folder / name)
    (work_dir / 'last_checkpoint').write_text(str(folder / name))
    return folder / name


@pytest.fixture
def first(tmp_path) -> Path:
    """The checkpoint of a run in ``a/run``, in ``store/run``."""
    return run(tmp_path / 'a' / 'run', tmp_path / 'store')


@pytest.mark.parametrize('name', [
    'epoch_1.pth', 'iter_3.pth', 'best_accuracy_top1_epoch_1.pth', 'epoch_1-0a1b2c3d.pth', 'm_7.pth'])
def test_another_run_of_that_name_neither_takes_nor_overwrites_them(tmp_path, name):
    first, other = run(tmp_path / 'a' / 'run', tmp_path / 'store', name), tmp_path / 'b' / 'run'
    cfg = config(tmp_path / 'store')
    if name.startswith('m_'):
        cfg['default_hooks']['checkpoint']['filename_tmpl'] = 'm_{}.pth'
    assert latest_checkpoint(other, cfg) is None
    with pytest.raises(ValueError) as refused:
        refuse_other_owner(other, cfg)
    assert str(refused.value) == (
        f'{first.parent}: holds {name} of the run of {tmp_path}/a/run; expected no checkpoints, or those of {other}. Give '
        'another default_hooks.checkpoint.out_dir, or a work directory of another name.')
    refuse_other_owner(tmp_path / 'a' / 'run', cfg)
    refuse_other_owner(tmp_path / 'b' / 'other', cfg)
    assert not other.exists()


def test_shards_of_deepspeed_are_checkpoints_too(tmp_path, first):
    first.unlink()
    first.mkdir()
    with pytest.raises(ValueError, match='holds epoch_1.pth of the run of'):
        refuse_other_owner(tmp_path / 'b' / 'run', config(tmp_path / 'store'))


def test_one_that_ended_while_the_other_was_being_checked(tmp_path):
    cfg, other = config(tmp_path / 'store'), tmp_path / 'b' / 'run'
    refuse_other_owner(other, cfg)
    first = run(tmp_path / 'a' / 'run', tmp_path / 'store')
    part = first.with_name('epoch_2.pth.1.lbbt_mm.part')
    part.touch()
    with pytest.raises(ValueError, match='of the run of'):
        with undone_if_refused([other, first.parent], only_training(other, cfg)):
            pass
    assert part.exists() and not other.exists() and not (first.parent / 'training.lock').exists()


def test_a_work_directory_in_the_checkpoints_of_another(tmp_path, first):
    assert latest_checkpoint(first.parent) is None
    with pytest.raises(ValueError, match='of the run of .*/a/run;'):
        refuse_other_owner(first.parent)
    first.unlink()
    refuse_other_owner(first.parent)
    claim(first.parent, first.parent)
    assert owns(first.parent, first.parent) and not owns(tmp_path / 'a' / 'run', first.parent), 'it has them from now on'


def test_a_work_directory_that_moved_goes_on(tmp_path, first):
    moved = tmp_path / 'elsewhere' / 'deep' / 'run'
    moved.parent.mkdir(parents=True)
    (tmp_path / 'a' / 'run').rename(moved)
    refuse_other_owner(moved, config(tmp_path / 'store'))
    assert latest_checkpoint(moved, config(tmp_path / 'store')) == (first, '')
    claim(moved, first.parent)
    assert json.loads((first.parent / MARK).read_text())['work_dir'] == '../../elsewhere/deep/run'


def test_one_that_moved_with_its_checkpoints_or_was_copied_with_them_goes_on(tmp_path):
    run(tmp_path / 'home' / 'a' / 'run', tmp_path / 'home' / 'store')
    for place in (shutil.copytree(tmp_path / 'home', tmp_path / 'copy'), (tmp_path / 'home').rename(tmp_path / 'moved')):
        work_dir, cfg = place / 'a' / 'run', config(place / 'store')
        refuse_other_owner(work_dir, cfg)
        assert latest_checkpoint(work_dir, cfg) == (place / 'store' / 'run' / 'epoch_1.pth', '')


@pytest.mark.parametrize('do', [shutil.copytree, os.rename])
def test_under_another_name_it_goes_on_from_what_it_wrote_and_writes_beside_it(tmp_path, first, do):
    other = tmp_path / 'a' / 'other'
    do(tmp_path / 'a' / 'run', other)
    refuse_other_owner(other, config(tmp_path / 'store'))
    found = latest_checkpoint(other, config(tmp_path / 'store'))
    assert found.path == first and f'Going on from {first}, which this run wrote' in found.note
    second = run(other, tmp_path / 'store', 'epoch_2.pth')
    assert second.parent != first.parent and latest_checkpoint(other, config(tmp_path / 'store')) == (second, '')
    assert do is os.rename or latest_checkpoint(tmp_path / 'a' / 'run', config(tmp_path / 'store')) == (first, '')


def test_a_copy_leaves_its_original_the_folder(tmp_path, first):
    copy = Path(shutil.copytree(tmp_path / 'a' / 'run', tmp_path / 'b' / 'run'))
    with pytest.raises(ValueError, match='the run of .*/a/run, of which this work directory is a copy; expected no'):
        refuse_other_owner(copy, config(tmp_path / 'store'))
    refuse_other_owner(copy, config(tmp_path / 'store'), is_over=True)
    refuse_other_owner(copy, config(tmp_path / 'new'))
    assert latest_checkpoint(copy, config(tmp_path / 'new')).path == first
    assert latest_checkpoint(tmp_path / 'a' / 'run', config(tmp_path / 'store')) == (first, '')
    shutil.rmtree(tmp_path / 'a' / 'run')
    assert latest_checkpoint(copy, config(tmp_path / 'store')) == (first, '')


def test_without_a_mark_they_are_of_the_run_whose_last_checkpoint_is_one(tmp_path, first):
    (first.parent / MARK).unlink()
    (tmp_path / 'a' / 'run' / RUN_ID).unlink()
    assert latest_checkpoint(tmp_path / 'a' / 'run', config(tmp_path / 'store')) == (first, '')
    for other in ('b/run', 'c/run'):
        (tmp_path / other).mkdir(parents=True)
        (tmp_path / 'b/run' / 'last_checkpoint').write_text('/gone/run/epoch_1.pth')
        with pytest.raises(ValueError, match=r'a run that is not known \(checkpoint_owner.json is absent or damaged\)'):
            refuse_other_owner(tmp_path / other, config(tmp_path / 'store'))


@pytest.mark.parametrize('mark', [
    '', '{}', '[]', '{"id": 3}', '{"id": null, "work_dir": "../../b/run"}', '\0', '[' * 100_000])
def test_a_damaged_mark_is_nobody_s(tmp_path, first, mark):
    (first.parent / MARK).write_text(mark)
    for work_dir in (tmp_path / 'a' / 'run', tmp_path / 'b' / 'run'):
        assert latest_checkpoint(work_dir, config(tmp_path / 'store')) is None
        with pytest.raises(ValueError, match='a run that is not known'):
            refuse_other_owner(work_dir, config(tmp_path / 'store'))


def test_a_folder_without_checkpoints_is_free_and_other_files_there_stay(tmp_path, first):
    first.rename(first.with_name('mine.pth'))
    second = run(tmp_path / 'b' / 'run', tmp_path / 'store')
    assert latest_checkpoint(tmp_path / 'b' / 'run', config(tmp_path / 'store')) == (second, '')
    assert latest_checkpoint(tmp_path / 'a' / 'run', config(tmp_path / 'store')) is None


@pytest.mark.parametrize('store', ['s3://bucket/x', '{work}/..'])
def test_remote_storages_and_the_work_directory_itself_have_no_mark(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    folder = checkpoint_folder(work_dir, config(store.format(work=work_dir)))
    claim(work_dir, folder)
    assert owns(work_dir, folder) and not list(tmp_path.rglob('*.json'))
