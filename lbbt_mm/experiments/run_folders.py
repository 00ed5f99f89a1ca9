"""The folders of an experiment's runs: all are looked at before one of them is made, removed or written to."""
from pathlib import Path
from typing import Dict, Sequence

from rich.console import Console

from lbbt_mm.launch.work_directory import checkpoint_folder
from lbbt_mm.runs.run_folder import read_request
from lbbt_mm.runs.training_run import TrainingRun
from .results_folder import claim_results, refuse_other_results

#: How text is printed that has names and paths in it.
PLAIN_TEXT = dict(soft_wrap=True, markup=False, highlight=False)


def check_folders(out: Path, tool: str, trainings: Sequence[TrainingRun], fresh: bool = False,
                  later: Sequence[TrainingRun] = ()) -> None:
    """Refuse settings that cannot be trained, and folders that are not this experiment's; nothing is made or removed.

    Args:
        out: Folder of the experiment; it may be absent.
        tool: Name of the tool.
        trainings: What is to be trained.
        fresh: Whether the runs that are there are to be removed first.
        later: What is to be trained from them, whose folders they may not share.

    Raises:
        OtherRunError: If a folder holds another run.
        ValueError: If a training could not start, or the folder is somebody else's.
    """
    refuse_other_results(out, tool)
    _refuse_shared_folders([*trainings, *later])
    for training in trainings:
        if fresh:
            read_request(training.work_dir)  # one that is not ours is not removed
            training.check_config()
        else:
            training.check()


def take_folders(out: Path, tool: str, trainings: Sequence[TrainingRun], fresh: bool, console: Console) -> None:
    """Take the folder of an experiment that was checked, and remove the runs that are to be trained anew.

    Args:
        out: As for :func:`check_folders`.
        tool: As there.
        trainings: As there.
        fresh: As there.
        console: Where is said what is left of a removed run.

    Raises:
        TrainingFailed: If a run that is to be removed is running.
    """
    claim_results(out, tool)
    for training in trainings if fresh else ():
        left = training.clear()
        if left:
            more = f' and {len(left) - 5} more' if len(left) > 5 else ''
            console.print(f'Left in {training.work_dir}, since no run of ours wrote it: '
                          f'{", ".join(path.name for path in left[:5])}{more}', **PLAIN_TEXT)
        training.check()


def _refuse_shared_folders(trainings: Sequence[TrainingRun]) -> None:
    """With ``out_dir`` mmengine names a run's folder of checkpoints by the last part of its work directory alone."""
    owners: Dict[str, TrainingRun] = {}
    for training in trainings:
        folder = checkpoint_folder(training.work_dir, training.request['config'])
        other = owners.setdefault(folder, training)
        if other is not training:
            raise ValueError(f'default_hooks.checkpoint.out_dir: {other.work_dir} and {training.work_dir} would both write '
                             f'their checkpoints into {folder}. Remove out_dir, or give it to the first stage alone.')
