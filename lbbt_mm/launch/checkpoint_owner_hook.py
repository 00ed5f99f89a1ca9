"""Has a run mark the folder of its checkpoints."""
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .checkpoint_owner import claim


class CheckpointOwnerHook(Hook):
    """Marks the folder of a run's checkpoints before the first one is written.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Any) -> None:
        self.folder = folder

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Mark it."""
        if is_main_process():
            claim(runner.work_dir, self.folder)
