"""A run marks the folder of its checkpoints before the first one is there."""
from mmengine.logging import MMLogger

from lbbt_mm.launch.checkpoint_owner import MARK, owns
from lbbt_mm.launch.checkpoint_owner_hook import CheckpointOwnerHook
from tests.small_net import train


def test_the_mark_is_there_before_the_first_checkpoint_and_not_sooner(tmp_path, monkeypatch):
    monkeypatch.setattr(MMLogger, '_instance_dict', MMLogger._instance_dict.copy())  # no other test logs there
    folder, found = tmp_path / 'store' / 'work', []

    class Watch(CheckpointOwnerHook):

        def before_train(self, runner):
            found.append((folder / MARK).exists())

        def before_save_checkpoint(self, runner, checkpoint):
            super().before_save_checkpoint(runner, checkpoint)
            found.append((folder / MARK).exists() and [path.name for path in folder.glob('*.pth')])

    train(tmp_path / 'work', hooks=[Watch(folder)],
          default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, out_dir=str(tmp_path / 'store'))))
    assert found == [False, [], ['epoch_1.pth']] and owns(tmp_path / 'work', folder)
