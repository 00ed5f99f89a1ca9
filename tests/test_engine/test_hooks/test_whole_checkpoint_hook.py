"""Which checkpoints there are at each moment, and that those of others are left alone; tests/test_kills.py kills runs."""
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import METRICS

from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests.small_net import loader, train


@METRICS.register_module()
class ScriptedMetric(BaseMetric):
    """Gives the scores it is told to, in turn."""

    def __init__(self, scores) -> None:
        super().__init__()
        self.scores = list(scores)

    def process(self, data_batch, data_samples) -> None:
        self.results.append(None)

    def compute_metrics(self, results) -> dict:
        return dict(score=self.scores.pop(0))


def run(work_dir, epochs=3, scores=(1, 2, 3, 4, 5), kind='lbbt_mm.WholeCheckpointHook', hooks=(), resume=False):
    options = dict(interval=1, max_keep_ckpts=1, save_best='score', rule='greater')
    return train(
        work_dir, hooks=hooks, train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1), resume=resume,
        val_dataloader=loader(), val_cfg=dict(), val_evaluator=dict(type='ScriptedMetric', scores=scores),
        default_hooks=dict(checkpoint=dict(type=kind, **options)))


def names(folder) -> set:
    return {path.name for path in Path(folder).glob('*.pth')}


def test_it_leaves_what_mmengine_s_hook_leaves(tmp_path):
    for kind in ('CheckpointHook', 'lbbt_mm.WholeCheckpointHook'):
        run(tmp_path / kind, kind=kind, scores=(2, 1, 3))
    ours, theirs = tmp_path / 'lbbt_mm.WholeCheckpointHook', tmp_path / 'CheckpointHook'
    assert names(ours) == names(theirs) == {'epoch_3.pth', 'best_score_epoch_3.pth'}
    for name in names(ours):
        one, other = (load_checkpoint_safely(folder / name) for folder in (ours, theirs))
        assert all(torch.equal(one['state_dict'][key], value) for key, value in other['state_dict'].items())
        info = [content['message_hub']['runtime_info'] for content in (one, other)]
        for key in ('best_score', 'keep_ckpt_ids'):
            assert info[0][key] == info[1][key]


class Watch(Hook):
    """Notes the files at each write."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.seen = []

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        self.seen.append(names(runner.work_dir))


def test_nothing_is_removed_before_its_successor_is_there(tmp_path):
    watch = Watch()
    run(tmp_path, hooks=[watch])
    complete = [any(name.startswith('epoch') for name in files) for files in watch.seen]
    assert complete[0] is False and all(complete[1:])
    best = [any(name.startswith('best') for name in files) for files in watch.seen]
    assert all(best[best.index(True):])
    assert names(tmp_path) == {'epoch_3.pth', 'best_score_epoch_3.pth'}


def test_without_it_there_are_moments_without_a_checkpoint(tmp_path):
    """Why the hook is there; if this fails, it is no longer needed."""
    watch = Watch()
    run(tmp_path, hooks=[watch], kind='CheckpointHook')
    assert not all(any(name.startswith('epoch') for name in files) for files in watch.seen[1:])


def test_what_a_kill_left_is_removed_when_the_run_goes_on(tmp_path):
    """A run that ended after writing its second checkpoint and before removing the first best one."""
    run(tmp_path, epochs=1)
    best = (tmp_path / 'best_score_epoch_1.pth').read_bytes()
    run(tmp_path, epochs=2, scores=(2, ), resume=True)
    (tmp_path / 'best_score_epoch_1.pth').write_bytes(best)
    run(tmp_path, epochs=3, scores=(3, ), resume=True)
    assert names(tmp_path) == {'epoch_3.pth', 'best_score_epoch_3.pth'}


def test_a_run_that_starts_in_a_copy_leaves_the_first_one_alone(tmp_path):
    """mmengine's hook removes the best checkpoint where the message hub says it was."""
    run(tmp_path / 'first', epochs=1)
    shutil.copytree(tmp_path / 'first', tmp_path / 'copy')
    before = names(tmp_path / 'first')
    train_on(tmp_path / 'copy', tmp_path / 'copy' / 'epoch_1.pth')
    assert names(tmp_path / 'first') == before
    assert names(tmp_path / 'copy') == {'epoch_2.pth', 'best_score_epoch_2.pth'}
    train_on(tmp_path / 'other', tmp_path / 'first' / 'epoch_1.pth')
    assert names(tmp_path / 'first') == before


@pytest.mark.parametrize('out_dir', [None, 'store'])
def test_one_that_goes_on_in_another_folder_leaves_the_files_of_those_names_there_alone(tmp_path, out_dir):
    """As other projects may use the hook; tools/train.py refuses such a folder."""
    run(tmp_path / 'first', epochs=1)
    state = load_checkpoint_safely(tmp_path / 'first' / 'epoch_1.pth')
    state['message_hub']['runtime_info'].update(keep_ckpt_ids=[7, 8, 1], lbbt_mm_outdated=['epoch_9.pth'])
    torch.save(state, tmp_path / 'first' / 'epoch_1.pth')
    options = dict(out_dir=str(tmp_path / out_dir)) if out_dir else {}
    folder = tmp_path / out_dir / 'mine' if out_dir else tmp_path / 'mine'
    folder.mkdir(parents=True)
    there = ['epoch_1.pth', 'epoch_7.pth', 'epoch_8.pth', 'epoch_9.pth', 'best_score_epoch_1.pth']
    for name in there:
        (folder / name).touch()
    train_on(tmp_path / 'mine', tmp_path / 'first' / 'epoch_1.pth', **options)
    assert names(folder) == {*there, 'epoch_2.pth', 'best_score_epoch_2.pth'}


def test_fewer_kept_checkpoints_are_removed_in_the_run_s_own_folder(tmp_path):
    run(tmp_path, epochs=1)
    state = load_checkpoint_safely(tmp_path / 'epoch_1.pth')
    state['message_hub']['runtime_info'].update(keep_ckpt_ids=[7, 8, 1])
    torch.save(state, tmp_path / 'epoch_1.pth')
    for name in ('epoch_7.pth', 'epoch_8.pth', 'epoch_9.pth'):
        (tmp_path / name).touch()
    train_on(tmp_path, tmp_path / 'epoch_1.pth')
    assert names(tmp_path) == {'epoch_9.pth', 'epoch_2.pth', 'best_score_epoch_2.pth'}


def train_on(work_dir, checkpoint, **checkpoint_options):
    return train(
        work_dir, train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1), resume=True, load_from=str(checkpoint),
        val_dataloader=loader(), val_cfg=dict(), val_evaluator=dict(type='ScriptedMetric', scores=(9, )),
        default_hooks=dict(checkpoint=dict(type='lbbt_mm.WholeCheckpointHook', interval=1, max_keep_ckpts=1,
                                           save_best='score', rule='greater', **checkpoint_options)))


@pytest.mark.parametrize('key, value', [
    ('lbbt_mm_outdated', ['../victim.pth', '/{root}/victim.pth', 'notes.pth', 'epoch_x.pth', 3, 'best_../x.pth']),
    ('lbbt_mm_outdated', 'victim.pth'), ('best_ckpt', '{root}/victim.pth'), ('best_ckpt', 3),
    ('keep_ckpt_ids', ['/../../victim', 'x']), ('keep_ckpt_ids', [True])])
def test_a_checkpoint_cannot_have_files_of_others_removed(tmp_path, key, value):
    run(tmp_path / 'work', epochs=1)
    state = load_checkpoint_safely(tmp_path / 'work' / 'epoch_1.pth')
    root = str(tmp_path)
    value = [item.format(root=root) if isinstance(item, str) else item for item in value] if isinstance(value, list) else (
        value.format(root=root) if isinstance(value, str) else value)
    state['message_hub']['runtime_info'][key] = value
    torch.save(state, tmp_path / 'work' / 'epoch_1.pth')
    mine = [tmp_path / 'victim.pth', tmp_path / 'work' / 'notes.pth', tmp_path / 'work' / 'epoch_x.pth']
    for path in mine:
        path.touch()
    train_on(tmp_path / 'work', tmp_path / 'work' / 'epoch_1.pth')
    assert all(path.exists() for path in mine)


def test_it_is_mmengine_s_hook_to_others():
    from lbbt_mm.engine.hooks import WholeCheckpointHook
    assert issubclass(WholeCheckpointHook, CheckpointHook) and WholeCheckpointHook().priority == CheckpointHook.priority
