"""The folder of an experiment: its tables and figures are overwritten by the next call only if they are ours."""
import json
import os
from pathlib import Path
from typing import Optional

from lbbt_mm.figures.claimed_folder import EXPERIMENT_MARK as MARK
from lbbt_mm.files.overwriting import refuse_closed_folder
from lbbt_mm.files.whole_files import read_dict, write_whole
from lbbt_mm.runs.run_folder import is_run

#: The files that are written there.
RESULTS = ('results.csv', 'summary.csv', 'summary.md', 'curves.png', 'curves.pdf', 'curves.csv', 'report.html')


def refuse_other_results(folder: Path, tool: str) -> None:
    """Refuse a folder where results would overwrite files of somebody else, or whose runs are where nobody looks for them.

    They are ours where the folder has an experiment's mark, or a run of ours in its place; another tool's are of another
    experiment.

    Args:
        folder: Where the results go; it may be absent.
        tool: Name of the tool.

    Raises:
        ValueError: If such a file is there and not this tool's, if there is a run in ``bridge/``, where ``lbbt.py`` had
            them until 2026-11-29, or if nothing can be written to the folder.
    """
    refuse_closed_folder(str(folder), folder)
    if is_run(folder / 'bridge'):
        raise ValueError(f'{folder / "bridge"} is a run of an earlier lbbt.py; runs are now in {folder / "runs"}. Nothing '
                         'was touched: give another folder, or remove that one to train anew here.')
    there, maker = [name for name in RESULTS if os.path.lexists(folder / name)], _maker(folder / MARK)
    if there and maker and maker != tool:
        raise ValueError(f'{folder} holds the results of {maker}; {there[0]} would be overwritten. Nothing was touched: '
                         'give another folder.')
    if there and not maker and not any(map(is_run, folder.glob('runs/*'))):
        raise ValueError(f'{folder / there[0]} was not written by a run of ours, and it would be overwritten. Nothing was '
                         'touched: give another folder, or move that file away.')


def claim_results(folder: Path, tool: str) -> None:
    """Take a folder for results before work starts, so that a later call knows them as ours; it is made if it is absent.

    Args and errors are those of :func:`refuse_other_results`.
    """
    refuse_other_results(folder, tool)
    folder.mkdir(parents=True, exist_ok=True)
    if _maker(folder / MARK) != tool:
        write_whole(folder / MARK, json.dumps(dict(made_by=f'lbbt_mm {tool}')))


def _maker(path: Path) -> Optional[str]:
    """The tool of ours that a mark is of; None if there is none."""
    made_by = str(read_dict(path).get('made_by'))
    return made_by[len('lbbt_mm '):] if made_by.startswith('lbbt_mm ') else None
