"""The folder of a tool's tables and figures: its files are overwritten by the next call only if they are ours."""
import json
import os
from pathlib import Path
from typing import Optional, Sequence

from lbbt_mm.files.whole_files import write_whole
from lbbt_mm.runs.run_folder import OtherRunError, read_request

#: In the folder: what is there under the names of the tool's files, is the tool's.
MARK = '.lbbt_mm.json'


def refuse_other_results(folder: Path, tool: str, names: Sequence[str], runs: Sequence[str]) -> None:
    """Refuse a folder where results would overwrite files of somebody else.

    They are ours where the folder has :data:`MARK`, or a run of ours in its place; another tool's are of another experiment.

    Args:
        folder: Where the results go; it may be absent.
        tool: Name of the tool.
        names: The files that are written there.
        runs: Where the runs are, as patterns relative to the folder, for example ``'runs/*'``.

    Raises:
        ValueError: If such a file is there and not this tool's, or if the folder is none.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise ValueError(f'{folder} is not a folder. Give another one for the results.')
    there, maker = [name for name in names if os.path.lexists(folder / name)], _maker(folder / MARK)
    if there and maker and maker != tool:
        raise ValueError(f'{folder} holds the results of {maker}; {there[0]} would be overwritten. Nothing was touched: '
                         'give another folder.')
    if there and not maker and not has_run(folder, runs):
        raise ValueError(f'{folder / there[0]} was not written by a run of ours, and it would be overwritten. Nothing was '
                         'touched: give another folder, or move that file away.')


def claim_results(folder: Path, tool: str, names: Sequence[str], runs: Sequence[str]) -> None:
    """Take a folder for results before work starts, so that a later call knows them as ours.

    Args:
        folder: Where the results go; made if it is absent.
        tool: Name of the tool.
        names: The files that are written there.
        runs: Where the runs are, as patterns relative to the folder.

    Raises:
        ValueError: If such a file is there and not ours, or if the folder is none.
    """
    refuse_other_results(folder, tool, names, runs)
    folder.mkdir(parents=True, exist_ok=True)
    if _maker(folder / MARK) != tool:
        write_whole(folder / MARK, json.dumps(dict(made_by=f'lbbt_mm {tool}')))


def has_run(folder: Path, runs: Sequence[str]) -> bool:
    """Whether a folder has a run of ours in one of the places that the patterns ``runs`` say."""
    for pattern in runs:
        for path in folder.glob(pattern):
            try:
                if read_request(path):
                    return True
            except OtherRunError:
                pass
    return False


def _maker(path: Path) -> Optional[str]:
    """The tool of ours that a mark is of; None if there is none."""
    try:
        found = json.loads(path.read_text()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    made_by = str(found.get('made_by')) if isinstance(found, dict) else ''
    return made_by[len('lbbt_mm '):] if made_by.startswith('lbbt_mm ') else None
