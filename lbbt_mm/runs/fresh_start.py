"""``--fresh``: removes runs so that they start again, and says what it left."""
from pathlib import Path
from typing import Sequence

from rich.console import Console

from .run_folder import read_request
from .training_run import TrainingRun


def clear_runs(runs: Sequence[TrainingRun], console: Console) -> None:
    """Remove what runs and their probes have written; nothing at all if the folder of one is not ours.

    Args:
        runs: The runs.
        console: Where it says what else is in their folders, and was left.

    Raises:
        OtherRunError: If the ``request.json`` of one is not ours.
        TrainingFailed: If one is running; those before it have been removed by then.
    """
    for run in runs:
        read_request(run.work_dir)
    for run in runs:
        left = run.clear()
        if left:
            console.print(left_message(left), soft_wrap=True, markup=False, highlight=False)


def left_message(left: Sequence[Path]) -> str:
    """What a user is told about files that were left when a run was removed.

    Args:
        left: What :meth:`TrainingRun.clear` returned, one path or more.
    """
    more = f' and {len(left) - 5} more' if len(left) > 5 else ''
    return f'Left in {left[0].parent}, since no run of ours wrote it: {", ".join(path.name for path in left[:5])}{more}'
