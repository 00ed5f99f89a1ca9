"""What a training run's folder holds: which files our runs write, whether a run there is ours, and how one is removed."""
import os
import re
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from lbbt_mm.files.overwriting import is_dumped_config
from lbbt_mm.files.whole_files import PART, read_dict
from lbbt_mm.launch.checkpoint_owner import MARK
from lbbt_mm.launch.work_directory import LOCK, OtherRunError, checkpoint_name, checkpoints_in

REQUEST, LOG = 'request.json', 'train.log'
#: They stay: who removes one that another process is about to lock leaves two processes that both hold one.
_LOCKS = ('lock', LOCK)
#: Gone first, so that no one takes half of a removed run for a whole one.
_FIRST = ('done', 'last_checkpoint')
_TIME = r'\d{8}_\d{6}'
_OWN = r'(last_checkpoint|done|failed|train\.log|request\.json|run_id\.json)'
#: Of a run, beside its checkpoints: its marks, what a killed writer left of them, and mmengine's folder of each attempt
_WRITTEN = re.compile(rf'{_OWN}|(?!.*/){PART}|{_TIME}/{_TIME}[^/]*\.log|{_TIME}/vis_data/.+|{_TIME}\.py'
                      r'|[^/]+/vis_data/scalars\.json', re.ASCII)  # the last are read as this run's, whoever wrote them
_FOLDERS = re.compile(rf'{_TIME}(/vis_data(/.+)?)?', re.ASCII)


def read_request(work_dir: Path) -> Optional[Dict[str, Any]]:
    """What was asked of the run in a folder.

    Args:
        work_dir: The folder.

    Returns:
        dict | None: What ``request.json`` holds; None if there is none.

    Raises:
        OtherRunError: If that file is not one of ours.
    """
    path = Path(work_dir) / REQUEST
    if not os.path.lexists(path):
        return None
    found, kinds = read_dict(path), dict(id=str, config=dict, options=list)
    if not all(isinstance(found.get(name), kind) for name, kind in kinds.items()):
        raise OtherRunError(f'{path} was not written by a run of lbbt_mm: expected id, config and options in it. Nothing '
                            'was touched: choose another folder, or move this file away.')
    return found


def refuse_stray_run(work_dir: Path) -> None:
    """Refuse a folder with files of a run but without what was asked of it: a run there would overwrite them.

    Args:
        work_dir: The folder, which has no ``request.json``.

    Raises:
        OtherRunError: If there are such files.
    """
    # a log is only added to, and a config that a run dumped only dumped again
    harmless = re.compile(r'[^/]+\.(py|json|yaml|yml|part)|train\.log')
    stray = [name for name in (path.relative_to(work_dir).as_posix() for path in written_files(work_dir))
             if not harmless.fullmatch(name)]
    if stray:
        raise OtherRunError(f'{work_dir} holds a run without request.json ({stray[0]}), so what it '
                            'trained is not known. Choose another folder, or remove this one.')


def nested_runs(work_dir: Path) -> List[Path]:
    """Folders of the runs of ours that belong to a run: its probes.

    Args:
        work_dir: The run's folder.
    """
    return [path for path in sorted(Path(work_dir).glob('probes/*')) if not path.is_symlink() and is_run(path)]


def is_run(folder: Path) -> bool:
    """Whether a folder has a run of ours."""
    try:
        return bool(read_request(folder))
    except OtherRunError:
        return False


def written_files(work_dir: Path) -> List[Path]:
    """The files, links included, in a run's folder that our runs write there; a sharded checkpoint's folder is one.

    Args:
        work_dir: The run's folder.
    """
    found, checkpoint = [], checkpoint_name((read_request(work_dir) or {}).get('config'))
    for folder, subfolders, files in os.walk(work_dir):
        links = [name for name in subfolders if Path(folder, name).is_symlink()]
        sharded = [name for name in subfolders if name not in links and checkpoint.fullmatch(name)]
        subfolders[:] = [name for name in subfolders if name not in (*sharded, *links)]
        paths = [Path(folder, name) for name in (*files, *links, *sharded)]
        found += [path for path in paths if Path(folder) == Path(work_dir) and checkpoint.fullmatch(path.name)
                  or _is_written(path, work_dir)]
    return sorted(found)


def _is_written(path: Path, work_dir: Path) -> bool:
    name = path.relative_to(work_dir).as_posix()
    if name == LOG and path.is_file():
        with open(path, 'rb') as log:
            return log.read(2) == b'$ '  # each attempt begins with its command
    return bool(_WRITTEN.fullmatch(name)) or '/' not in name and is_dumped_config(path)


def remove_run(work_dir: Path) -> List[Path]:
    """Remove what a run and its probes wrote, and nothing else; their locks, which the caller holds, stay.

    Args:
        work_dir: The run's folder, with a ``request.json`` of ours.

    Returns:
        list[Path]: What else is in the folder and was left.
    """
    for run in (*nested_runs(work_dir), Path(work_dir)):
        order = {**dict.fromkeys(_FIRST, 0), REQUEST: 2}  # with its request gone, the rest would not count as ours
        written = sorted(written_files(run), key=lambda path: order.get(path.name, 1))
        for path in written:
            _remove(path)
        around = {folder for path in written for folder in path.parents}
        for folder in sorted((path for path in run.rglob('*') if path.is_dir() and not path.is_symlink()), reverse=True):
            ours = folder in around or _FOLDERS.fullmatch(folder.relative_to(run).as_posix())
            if ours and not any(folder.iterdir()):
                folder.rmdir()
    return sorted(path for path in Path(work_dir).iterdir() if _holds_more(path))


def remove_checkpoints(folder: Path, config: Mapping[str, Any]) -> None:
    """Remove the checkpoints of a run from a folder that is marked as theirs (``default_hooks.checkpoint.out_dir``).

    Args:
        folder: The folder; it may be absent.
        config: The run's config, which may name checkpoints in its own way.
    """
    for path in checkpoints_in(folder, config):
        _remove(path)
    Path(folder, MARK).unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _holds_more(path: Path) -> bool:
    """Whether something is or holds more than a lock."""
    if path.is_dir() and not path.is_symlink():
        return not any(path.iterdir()) or any(map(_holds_more, path.iterdir()))
    return path.name not in _LOCKS
