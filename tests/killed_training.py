"""tools/train.py, killed at its n-th step of writing: killed_training.py N EVENTS ARGUMENTS_OF_TRAIN.

The steps are those after which a file is in another state: half of it is written, it is about to be renamed, it is
renamed, it is about to be removed or is removed, the record of a validation is written. They are listed in the file EVENTS;
N = 0 lets the training end.
"""
import os
import runpy
import signal
import sys
from pathlib import Path

from mmengine.hooks import LoggerHook

from lbbt_mm.files import whole_files

REPO = Path(__file__).resolve().parent.parent
LAST, EVENTS = int(sys.argv[1]), Path(sys.argv[2])
_seen = []


def event(what: str, path=None) -> None:
    """Note a step, and end there if it is the one."""
    name = Path(str(path)).name
    if name.endswith('.lbbt_mm.part'):
        name = name.split('.lbbt_mm.part')[0].rsplit('.', 1)[0]
    if path is not None and not name.endswith('.pth') and name != 'last_checkpoint':
        return
    _seen.append(f'{what} {name}' if path is not None else what)
    EVENTS.write_text('\n'.join(_seen))
    if len(_seen) == LAST:
        os.kill(os.getpid(), signal.SIGKILL)


class HalfWritten:
    """A file whose content comes in two writes."""

    def __init__(self, path, *args, **options) -> None:
        self._path, self._file = path, open(path, *args, **options)

    def write(self, content) -> None:
        self._file.write(content[:len(content) // 2])
        self._file.flush()
        event('half of', self._path)
        self._file.write(content[len(content) // 2:])

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


class Renames:
    """The module ``os`` with a replace that can be interrupted."""

    def __getattr__(self, name):
        return getattr(os, name)

    @staticmethod
    def replace(part, path) -> None:
        event('before the rename to', path)
        os.replace(part, path)
        event('after the rename to', path)


def remove(self, path) -> None:
    event('before the removal of', path)
    os.remove(path)
    event('after the removal of', path)


def record(self, *args, _original=LoggerHook.after_val_epoch, **options) -> None:
    _original(self, *args, **options)
    event('after the record of a validation')


whole_files.open, whole_files.os = HalfWritten, Renames()
whole_files.WholeFileBackend.remove = remove
LoggerHook.after_val_epoch = record
sys.argv = [str(REPO / 'tools' / 'train.py'), *sys.argv[3:]]
runpy.run_path(sys.argv[0], run_name='__main__')
