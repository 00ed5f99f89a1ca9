"""Which checkpoint of a work directory a run goes on from, and that no other training writes there."""
import fcntl
import os
import re
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Optional

from mmengine.logging import print_log

_NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


class Latest(NamedTuple):
    """The checkpoint that a run goes on from.

    Attributes:
        path: The file.
        note: What was wrong with the one that should have been it; empty where nothing was.
    """
    path: Path
    note: str = ''


def latest_checkpoint(work_dir: Any) -> Optional[Latest]:
    """The newest complete checkpoint of a work directory.

    That is the one which ``last_checkpoint`` names, in this folder if it has one of that name, since the folder may have
    moved. Where the marker is damaged or names what is not there or not complete, it is the complete one of the highest
    number.

    Args:
        work_dir: The work directory.

    Returns:
        Latest | None: The checkpoint; None if there is none.
    """
    folder = Path(work_dir)
    marker = folder / 'last_checkpoint'
    named = read_marker(marker)
    for path in ([] if named is None else [folder / named.name, named]):
        if is_complete(path):
            return Latest(path)
    numbered = [(int(found[1]), path) for path in (folder.iterdir() if folder.is_dir() else [])
                for found in [_NUMBERED.fullmatch(path.name)] if found and is_complete(path)]
    if not numbered:
        return None
    newest = max(numbered)[1]
    problem = 'is not there'
    if marker.exists():
        problem = 'is damaged' if named is None else f'names {named.name}, which is absent or incomplete'
    return Latest(newest, f'{marker} {problem}: going on from {newest.name}, the newest complete checkpoint.')


def read_marker(marker: Path) -> Optional[Path]:
    """What ``last_checkpoint`` names; None where it is absent or damaged."""
    try:
        text = marker.read_bytes()[:4096].decode().strip()
    except (OSError, ValueError):
        return None
    return Path(text) if text and text.isprintable() and Path(text).name not in ('', '.', '..') else None


def is_complete(path: Path) -> bool:
    """Whether a checkpoint was written to its end: torch's archives have their table of contents there."""
    try:
        with open(path, 'rb') as file:
            start = file.read(2)
        # files in torch's format from before 1.6 are pickles; whether they are whole shows when they are read
        return zipfile.is_zipfile(path) if start == b'PK' else len(start) == 2 and start[:1] in (b'\x80', b'c', b'(')
    except (OSError, ValueError):
        return False


@contextmanager
def only_training(work_dir: Any) -> Iterator[None]:
    """Hold a work directory against other trainings; the first rank does so for all.

    Args:
        work_dir: The work directory; made where it is absent.

    Raises:
        ValueError: If another training is running there.
    """
    if int(os.environ.get('RANK') or os.environ.get('SLURM_PROCID') or 0):
        yield
        return
    os.makedirs(work_dir, exist_ok=True)
    # not flock: data workers would inherit it and hold it for seconds after a kill
    with open(Path(work_dir) / 'training.lock', 'a+') as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            owner = lock.read(20).strip()
            raise ValueError(f'{work_dir}: another training is running in this folder (process {owner or "unknown"}). '
                             'Wait for it or end it, or choose another --work-dir.') from None
        except OSError as error:
            print_log(f'{work_dir} is on a file system without locks ({error.strerror}): take care that no other training '
                      'writes there.', logger='current')
        lock.truncate(0)
        lock.write(f'{os.getpid()}\n')
        lock.flush()
        yield
