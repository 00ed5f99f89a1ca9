"""Which checkpoint of a work directory a run goes on from, and that no other training writes there."""
import fcntl
import os
import re
import stat
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Union

from mmengine.logging import print_log

from lbbt_mm.config_keys import get_key
from lbbt_mm.files.checkpoint_files import UnreadableCheckpoint, load_checkpoint_safely
from lbbt_mm.files.whole_files import remove_parts
from .checkpoint_owner import is_of_same_run, owner_of, owns

#: In a folder that a training writes to: the process that holds it.
LOCK = 'training.lock'
#: Environment variable with a process's rank, by the launcher that sets it
_RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


class OtherRunError(ValueError):
    """A folder holds a run that cannot be resumed, removed or overwritten as the one that was asked for."""


class Latest(NamedTuple):
    """The checkpoint that a run goes on from.

    Attributes:
        path: The file, or the address of one on a remote storage.
        note: What was wrong with the one that should have been it; empty where nothing was.
    """
    path: Union[Path, str]
    note: str = ''


def checkpoint_folder(work_dir: Any, config: Optional[Mapping[str, Any]] = None) -> str:
    """The folder that a run's checkpoints are in: the work directory, or one below the checkpoint hook's ``out_dir``.

    Args:
        work_dir: The work directory.
        config: The run's config.
    """
    out_dir = get_key(config, 'default_hooks.checkpoint.out_dir')
    if not out_dir or str(out_dir) == str(work_dir):
        return str(work_dir)
    return os.path.join(str(out_dir), os.path.basename(str(work_dir).rstrip(os.sep)))  # as mmengine does


def latest_checkpoint(work_dir: Any, config: Optional[Mapping[str, Any]] = None) -> Optional[Latest]:
    """The newest complete checkpoint of a work directory.

    That is the one which ``last_checkpoint`` names, in this run's folder, which may have moved since; a file elsewhere is of
    another run, unless its folder is marked as this one's, whose name or ``out_dir`` has changed then. Where the marker is
    damaged or names what is not there or not complete, it is the complete one of the highest number.

    Args:
        work_dir: The work directory.
        config: The run's config, which may put checkpoints into another folder.

    Returns:
        Latest | None: The checkpoint; None if there is none.
    """
    folder = checkpoint_folder(work_dir, config)
    marker = Path(work_dir) / 'last_checkpoint'
    text = read_marker(marker)
    if '://' in folder:  # a remote storage, which is asked when the checkpoint is loaded
        return Latest(text) if text else None
    own = owns(work_dir, folder)
    named = Path(folder) / Path(text).name if text else None
    if own and named and (os.path.isdir(named) or is_complete(named)):  # DeepSpeed's checkpoints are folders
        return Latest(named)
    newest = next(filter(is_complete, numbered_checkpoints(folder, config) if own else []), None)
    if newest is None:
        return _in_former_folder(work_dir, text)
    problem = 'is not there'
    if marker.exists():
        problem = f'names {named.name}, which is absent or incomplete' if named else 'is damaged'
    return Latest(newest, f'{marker} {problem}: going on from {newest.name}, the newest complete checkpoint.')


def _in_former_folder(work_dir: Any, text: Optional[str]) -> Optional[Latest]:
    path = Path(text or '')
    if text and is_of_same_run(work_dir, path.parent) and (path.is_dir() or is_complete(path)):
        return Latest(path, f'Going on from {path}, which this run wrote before its folder of checkpoints was another.')
    return None


def refuse_other_owner(work_dir: Any, config: Optional[Mapping[str, Any]] = None, is_over: bool = False) -> None:
    """Refuse a run whose folder of checkpoints holds those of another run, which it would take or overwrite.

    Args:
        work_dir: The run's work directory.
        config: Its config, which may put checkpoints into another folder.
        is_over: Whether the run has ended and writes no more; its checkpoints are a copy's too then.

    Raises:
        OtherRunError: If there are such.
    """
    folder = checkpoint_folder(work_dir, config)
    there = [] if owns(work_dir, folder) else checkpoints_in(folder, config)
    if there and not (is_over and is_of_same_run(work_dir, folder)):
        raise OtherRunError(f'{folder}: holds {there[0].name} of {owner_of(work_dir, folder)}; expected no checkpoints, or '
                            f'those of {work_dir}. Give another default_hooks.checkpoint.out_dir, or a work directory of '
                            'another name.')


def checkpoints_in(folder: Any, config: Optional[Mapping[str, Any]] = None) -> List[Path]:
    """A folder's checkpoints, the numbered ones first, then the best and the published ones.

    Args:
        folder: The folder.
        config: The run's config, which may name checkpoints in its own way.
    """
    numbered, name = numbered_checkpoints(folder, config), checkpoint_name(config)
    others = sorted(Path(folder).iterdir()) if numbered or os.path.isdir(folder) else []
    return numbered + [path for path in others if path not in numbered and name.fullmatch(path.name)]


def checkpoint_name(config: Optional[Mapping[str, Any]] = None) -> 're.Pattern[str]':
    """What the checkpoints of a run are called, the best and the published ones too.

    Args:
        config: The run's config, which may name checkpoints in its own way.
    """
    names = '|'.join(rf'{_pattern(template)}|{_pattern(os.path.splitext(template)[0])}-[0-9a-f]{{8}}\.pth'
                     for template in _templates(config))
    return re.compile(f'(?:best_[^/]+_)?(?:{names})')


def _templates(config: Optional[Mapping[str, Any]]) -> List[str]:
    template = get_key(config, 'default_hooks.checkpoint.filename_tmpl')
    named = isinstance(template, str) and template.count('{}') == 1
    return [template] if named else ['epoch_{}.pth', 'iter_{}.pth']


def _pattern(template: str) -> str:
    return re.escape(template).replace(re.escape('{}'), r'(\d+)')


def numbered_checkpoints(folder: Any, config: Optional[Mapping[str, Any]] = None) -> List[Path]:
    """A folder's checkpoints by their number, the highest first, complete or not.

    Args:
        folder: The folder.
        config: The run's config, which may name checkpoints in its own way.
    """
    folder, named = Path(folder), re.compile('|'.join(map(_pattern, _templates(config))))
    found = [(int(match[match.lastindex]), path) for path in (folder.iterdir() if folder.is_dir() else [])
             for match in [named.fullmatch(path.name)] if match]
    return [path for _, path in sorted(found, reverse=True)]


def read_marker(marker: Path) -> Optional[str]:
    """What ``last_checkpoint`` names; None where it is absent or damaged."""
    try:
        text = marker.read_bytes()[:4096].decode().strip()
    except (OSError, ValueError):
        return None
    return text if text and text.isprintable() and Path(text).name not in ('', '.', '..') else None


def is_complete(path: Path) -> bool:
    """Whether a checkpoint was written to its end, so that it can be read.

    One that would run code is complete; what loads it refuses it.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and _is_readable(str(path), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1024)
def _is_readable(path: str, size: int, changed: int) -> bool:
    try:
        load_checkpoint_safely(path, map_location='meta')  # reads no tensor's data
    except UnreadableCheckpoint as error:
        return error.found.startswith('holds more than tensors') and 'operand' not in error.found  # no bytes of a pickle
    return True


def is_first_rank(config: Optional[Mapping[str, Any]] = None) -> bool:
    """Whether this process is the first, or the only one, of a run, before its processes know of each other.

    Args:
        config: The run's config, whose ``launcher`` says how the processes were started.
    """
    variable = _RANKS.get((config or {}).get('launcher') or 'none')
    return not variable or int(os.environ.get(variable) or 0) == 0


@contextmanager
def only_training(work_dir: Any, config: Optional[Mapping[str, Any]] = None) -> Iterator[None]:
    """Hold a work directory against other trainings, and remove what killed ones have left half-written.

    The first rank does so for all. The lock's file stays; of a run that is refused
    :func:`~lbbt_mm.launch.attempt.undone_if_refused` takes it away.

    Args:
        work_dir: The work directory; made where it is absent.
        config: The run's config, which says how its ranks were started and may put checkpoints into another folder.

    Raises:
        ValueError: If another training is running there, or its checkpoints are those of another run.
    """
    if not is_first_rank(config):
        yield
        return
    with ExitStack() as held:
        for folder in dict.fromkeys((str(work_dir), checkpoint_folder(work_dir, config))):
            if '://' not in folder:
                held.enter_context(_held(Path(folder)))
                refuse_other_owner(work_dir, config)  # one that ended while this one was still being checked
                remove_parts(folder)
        yield


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    # not flock: data workers would inherit it and hold it for seconds after a kill
    with open(folder / LOCK, 'a+') as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            owner = lock.read(20).strip()
            raise ValueError(f'{folder}: another training is running in this folder (process {owner or "unknown"}). '
                             'Wait for it or end it, or choose another --work-dir.') from None
        except OSError as error:
            print_log(f'{folder} is on a file system without locks ({error.strerror}): take care that no other training '
                      'writes there.', logger='current')
        lock.truncate(0)
        lock.write(f'{os.getpid()}\n')
        lock.flush()
        yield
