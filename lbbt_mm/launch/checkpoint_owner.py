"""Whose a folder of checkpoints outside the work directory is (``default_hooks.checkpoint.out_dir``).

mmengine names it after the work directory, and work directories of different experiments are called alike. So a run marks
the folder with its id, which is in its work directory too, and with the way there.
"""
import json
import os
import uuid
from pathlib import Path
from typing import Any, Dict, Optional

from lbbt_mm.files.whole_files import read_dict, write_whole

#: In the work directory: the run's id. In the folder of its checkpoints: the same, and the way to the work directory.
RUN_ID, MARK = 'run_id.json', 'checkpoint_owner.json'


def owns(work_dir: Any, folder: Any) -> bool:
    """Whether a run may take, overwrite and remove the checkpoints of a folder.

    The folder's mark has to have the run's id. Of a work directory and its copies, that is the one which the mark leads to
    as long as it is there, so a work directory that was moved is the owner. A folder that was filled before there were marks
    is of the run whose ``last_checkpoint`` names a file in it.

    Args:
        work_dir: The run's work directory, which is its own unless another run has its checkpoints there.
        folder: The folder; remote storages have no marks and are the run's.
    """
    marked = os.path.lexists(os.path.join(folder, MARK))  # never on a remote storage
    if not _is_elsewhere(work_dir, folder):
        return not marked
    if marked:
        return is_of_same_run(work_dir, folder) and not _is_copy(work_dir, folder)
    if os.path.lexists(os.path.join(work_dir, RUN_ID)):
        return False
    try:
        last = (Path(work_dir) / 'last_checkpoint').read_text().strip()
        return os.path.realpath(os.path.dirname(last)) == os.path.realpath(folder)
    except (OSError, ValueError):
        return False


def is_of_same_run(work_dir: Any, folder: Any) -> bool:
    """Whether the checkpoints of a folder are those of this run, or of the one that its work directory is a copy of."""
    known = _read(work_dir, RUN_ID).get('id')
    return known is not None and known == _read(folder, MARK).get('id')


def owner_of(work_dir: Any, folder: Any) -> str:
    """Whose the checkpoints of a folder are, as an error says it."""
    other = _marked(folder)
    if other is None:
        return f'a run that is not known ({MARK} is absent or damaged)'
    return f'the run of {other}' + (', of which this work directory is a copy' if is_of_same_run(work_dir, folder) else '')


def claim(work_dir: Any, folder: Any) -> None:
    """Mark a folder of checkpoints as the run's; the work directory needs no mark, and a remote storage has none.

    Args:
        work_dir: The run's work directory.
        folder: The folder; made where it is absent.
    """
    if not _is_elsewhere(work_dir, folder):
        Path(folder, MARK).unlink(missing_ok=True)  # another run's, which has no checkpoints here
        return
    known = dict(id=_read(work_dir, RUN_ID).get('id') or uuid.uuid4().hex)
    way = os.path.relpath(os.path.realpath(work_dir), os.path.realpath(folder))  # holds where both are moved
    for path, found in ((Path(work_dir, RUN_ID), known), (Path(folder, MARK), dict(known, work_dir=way))):
        if _read(*os.path.split(path)) != found:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(found) + '\n')


def _is_elsewhere(work_dir: Any, folder: Any) -> bool:
    return '://' not in str(folder) and os.path.realpath(work_dir) != os.path.realpath(folder)


def _is_copy(work_dir: Any, folder: Any) -> bool:
    marked = _marked(folder)
    return marked is not None and marked != os.path.realpath(work_dir) and is_of_same_run(marked, folder)


def _marked(folder: Any) -> Optional[str]:
    """The work directory that a folder's mark leads to, be it there or not."""
    way = _read(folder, MARK).get('work_dir')
    return os.path.realpath(os.path.join(os.path.realpath(folder), way)) if way else None


def _read(folder: Any, name: str) -> Dict[str, str]:
    found = read_dict(Path(folder, name))
    return found if all(isinstance(value, str) for value in found.values()) else {}
