"""Saves checkpoints so that a run which is killed at any moment can be resumed."""
import os
import re
from pathlib import Path
from typing import Any, List, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner, find_latest_checkpoint

from lbbt_mm.argument_checks import is_whole
from lbbt_mm.files.whole_files import write_whole
from lbbt_mm.mmengine_internals import checkpoint_of, is_resumed
from lbbt_mm.registry import HOOKS

#: In the message hub, and so in checkpoints: names of files that are removed once a newer one is complete.
_OUTDATED = 'lbbt_mm_outdated'
#: Likewise: the last epoch or iteration whose validation the checkpoint has seen, 0 for none.
_VALIDATED = 'lbbt_mm_validated'
#: Likewise: the run's attempts, each by the name of its folder of logs. A run that starts anew there is another.
_ATTEMPTS = 'lbbt_mm_attempts'
_BEST = re.compile(r'best_[^/\\]+\.pth')


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, with what is old removed after what is new is complete.

    mmengine removes the oldest checkpoint and the previous best one first, and writes ``last_checkpoint`` in place: a kill
    between leaves none, or a marker that names none. Here a checkpoint also says what was to be removed when it was written,
    so that a resumed run does so. What a checkpoint says of files elsewhere than in the run's own folder is not followed.
    ``tools/train.py`` puts this hook in the place of mmengine's, and has files written whole
    (:func:`lbbt_mm.files.whole_files.write_files_whole`).

    Args:
        *args: As for :class:`mmengine.hooks.CheckpointHook`.
        **kwargs: Likewise.
    """

    def before_train(self, runner: Runner) -> None:
        """Find the folder and what a resumed run has there."""
        hub = runner.message_hub
        kept = hub.runtime_info.pop('keep_ckpt_ids', [])  # mmengine removes files by them
        super().before_train(runner)
        step = saved_step(runner, self)
        resumed = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
        if self._goes_on_here(runner):
            self._take_over(runner, kept)
            if step and self.file_backend.exists(resumed):
                self.last_ckpt = resumed  # a validation that is made up for may find the best score, which it has to hold
        else:
            hub.runtime_info.pop(_OUTDATED, None)  # files of the same names here are another run's
            self.best_ckpt_path = None
            self.best_ckpt_path_dict = dict.fromkeys(getattr(self, 'best_ckpt_path_dict', {}))
        if not step:
            hub.update_info(_VALIDATED, 0)
        if not step or _ATTEMPTS in hub.runtime_info:
            hub.update_info(_ATTEMPTS, [*(hub.get_info(_ATTEMPTS) if step else []), runner.timestamp])
        self._remove_outdated(runner)

    def _goes_on_here(self, runner: Runner) -> bool:
        """Whether the run goes on from a checkpoint of the folder that it writes to, so that the files there are its own."""
        source = is_resumed(runner) and (checkpoint_of(runner) or find_latest_checkpoint(runner.work_dir))
        folder = os.path.dirname(os.path.expanduser(str(source).rstrip(os.sep)))
        return bool(source) and os.path.realpath(folder) == os.path.realpath(self.out_dir)

    def _take_over(self, runner: Runner, kept: Any) -> None:
        """Take what the checkpoint says of the files beside it; what is too much of them now is outdated."""
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = self._in_this_folder(self.best_ckpt_path)
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {key: self._in_this_folder(path) for key, path in self.best_ckpt_path_dict.items()}
        if self.max_keep_ckpts > 0 and isinstance(kept, (list, tuple)):
            steps = [step for step in kept if is_whole(step)]
            for step in steps[:-self.max_keep_ckpts]:
                self._outdate(runner, self.filename_tmpl.format(step))
            self.keep_ckpt_ids.extend(steps)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))

    def _in_this_folder(self, path: Any) -> Any:
        """The best checkpoint as this folder has it, which may have been copied or moved; None if it has none."""
        if not isinstance(path, str):
            return None
        here = self.file_backend.join_path(self.out_dir, os.path.basename(path))
        return here if self.file_backend.exists(here) else None

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        hub = runner.message_hub
        if self.max_keep_ckpts > 0 and not (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                self._outdate(runner, self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
            self.keep_ckpt_ids.append(step)
            hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir, filename, self.file_client_args, save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
            backend_args=self.backend_args, **self.args)
        if is_main_process():
            write_whole(Path(runner.work_dir) / 'last_checkpoint', self.last_ckpt)
        self._remove_outdated(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Save the best checkpoint; one that is written from now on has seen this validation."""
        runner.message_hub.update_info(_VALIDATED, saved_step(runner, self))
        super().after_val_epoch(runner, metrics)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        backend = self.file_backend
        self.file_backend = _LaterRemovals(backend, lambda path: self._outdate(runner, os.path.basename(path)))
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        self._remove_outdated(runner)

    @staticmethod
    def _outdate(runner: Runner, name: str) -> None:
        outdated = _outdated(runner)
        if name not in outdated:
            runner.message_hub.update_info(_OUTDATED, [*outdated, name])

    def _remove_outdated(self, runner: Runner) -> None:
        """Remove what is to be, but for a file that was written anew meanwhile."""
        if isinstance(self.file_backend, _LaterRemovals):  # the best checkpoint is still being dealt with
            return
        current = [self.last_ckpt, getattr(self, 'best_ckpt_path', None), *getattr(self, 'best_ckpt_path_dict', {}).values()]
        current_names = {os.path.basename(path) for path in current if path}
        kept = {self.filename_tmpl.format(step) for step in getattr(self, 'keep_ckpt_ids', ())}
        for name in _outdated(runner):
            path = self.file_backend.join_path(self.out_dir, name)
            own = _BEST.fullmatch(name) or re.fullmatch(re.escape(self.filename_tmpl).replace(r'\{\}', r'\d+'), name)
            if own and name not in current_names | kept and is_main_process():
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)
                elif self.file_backend.isdir(path):  # DeepSpeed's checkpoints are folders
                    self.file_backend.rmtree(path)
        if _outdated(runner):
            runner.message_hub.update_info(_OUTDATED, [])


def saved_step(runner: Runner, hook: CheckpointHook) -> int:
    """The number that a checkpoint hook gives a checkpoint of this point of the training."""
    return runner.epoch if hook.by_epoch else runner.iter


def knows_its_validation(runner: Runner) -> Optional[bool]:
    """Whether the checkpoint that a run goes on from was written after the validation of its step.

    Returns:
        bool | None: None where it does not say, since another hook than :class:`WholeCheckpointHook` wrote it.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, WholeCheckpointHook)), None)
    validated = runner.message_hub.get_info(_VALIDATED)
    return None if hook is None or validated is None else validated == saved_step(runner, hook)


def attempts_of(runner: Runner) -> Optional[List[str]]:
    """The folders of logs of a run's attempts, this one included; None where the checkpoint does not say."""
    found = runner.message_hub.get_info(_ATTEMPTS)
    return [str(name) for name in found] if isinstance(found, list) else None


def _outdated(runner: Runner) -> List[str]:
    names = runner.message_hub.get_info(_OUTDATED)
    return [name for name in names if isinstance(name, str)] if isinstance(names, (list, tuple)) else []


class _LaterRemovals:
    """A file backend that notes what it is told to remove; everything else is the backend's."""

    def __init__(self, backend: Any, note: Any) -> None:
        self._backend, self._note = backend, note

    def remove(self, path: str) -> None:
        self._note(path)

    def rmtree(self, path: str) -> None:
        self._note(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
