"""A run that is refused leaves its folders as they were."""
import logging
import os
import re
import shutil
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, ContextManager, Dict, Iterator, Optional, Sequence

from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from lbbt_mm.files.overwriting import is_dumped_config
from lbbt_mm.mmengine_internals import made_loggers
from .user_errors import has_begun, note_begun
from .work_directory import LOCK


class BegunHook(Hook):
    """Notes when a run begins to train or test, and refuses one that would train on nothing."""

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Refuse a data set that gives no batch.

        Raises:
            ValueError: If it gives none; mmengine would save a checkpoint of a training without a step.
        """
        loader = runner.train_loop.dataloader
        if isinstance(loader, DataLoader) and not isinstance(loader.sampler, InfiniteSampler) and len(loader) == 0:
            dropped = ' with drop_last' if loader.drop_last else ''
            raise ValueError(f'train_dataloader: {len(loader.dataset)} samples in batches of {loader.batch_size}{dropped} '
                             'give no batch; expected one at least. Set a smaller batch_size, or drop_last=False.')

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train') -> None:
        """Training or testing has begun; a resumed run may begin with a validation."""
        note_begun()


@contextmanager
def undone_if_refused(folders: Sequence[Any], lock: Optional[ContextManager] = None) -> Iterator[None]:
    """Take away what a run has made in its folders if it fails before its first step.

    Args:
        folders: The work directory, and where else it writes.
        lock: Held meanwhile, and while that is undone; its file is one of what the run has made.
    """
    note_begun(False)
    before = [_Folder(Path(folder)) for folder in dict.fromkeys(map(str, folders)) if '://' not in folder]
    with ExitStack() as held:
        try:
            held.enter_context(lock or nullcontext())
            yield
        except BaseException:
            if not has_begun():
                for folder in before:
                    with suppress(OSError):  # another rank does the same; the error that is under way counts
                        folder.restore()
            raise


class _Folder:
    """What was in a folder, and which folder above it was there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.absent = [parent for parent in (path, *path.parents) if not parent.exists()]
        self.names = set(os.listdir(path)) if path.is_dir() else set()
        self.rewritten: Dict[str, bytes] = {name: (path / name).read_bytes() for name in self.names
                                            if name == LOCK or is_dumped_config(path / name)}

    def restore(self) -> None:
        """Remove what is new and of this run's making; lock and dumped config are the earlier ones again."""
        for path in filter(_is_made, sorted(self.path.iterdir()) if self.path.is_dir() else []):
            if path.name in self.rewritten and path.read_bytes() != self.rewritten[path.name]:
                path.write_bytes(self.rewritten[path.name])
            elif path.name not in self.names:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        for folder in self.absent:
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


def _is_made(path: Path) -> bool:
    """Whether this process made it: the folder of its log, its lock, or a config that was dumped."""
    if path.is_symlink() or path.name == LOCK:
        return not path.is_symlink() and path.read_text().strip() == str(os.getpid())
    logs = [handler.baseFilename for logger in made_loggers() for handler in logger.handlers
            if isinstance(handler, logging.FileHandler)]
    is_log_folder = path.is_dir() and re.fullmatch(r'\d{8}_\d{6}', path.name) and not any(map(Path.is_file, path.rglob('*')))
    return bool(is_log_folder) or path.resolve() in {Path(log).resolve().parent for log in logs} or is_dumped_config(path)
