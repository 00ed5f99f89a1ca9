"""The checkpoint that a run left for those that start from it."""
import re
from pathlib import Path
from typing import Any, Mapping, Optional

from lbbt_mm.config_keys import get_key
from lbbt_mm.launch.work_directory import checkpoint_folder, is_complete, numbered_checkpoints, read_marker


def find_checkpoint(work_dir: Path, config: Optional[Mapping[str, Any]], which: str = 'last',
                    must_exist: bool = True) -> Path:
    """Find it.

    Args:
        work_dir: The run's folder.
        config: Its config.
        which: ``'last'``, or ``'best'`` for the one of ``default_hooks.checkpoint.save_best``.
        must_exist: Whether it is an error if the last one has been removed since.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are the best ones of several metrics.
    """
    folder = Path(checkpoint_folder(work_dir, config))
    if which == 'best':
        return _best(work_dir, folder)
    marker = read_marker(work_dir / 'last_checkpoint')
    # an earlier one than that is another result; the number says which it is where the marker does not
    last = folder / Path(marker).name if marker else next(iter(numbered_checkpoints(folder, config)), folder / 'none')
    if must_exist and not is_complete(last):
        raise FileNotFoundError(f'{work_dir} has no last checkpoint ({last.name} is absent or incomplete). If it was '
                                'removed, start this run afresh.')
    return last.resolve()


def chosen_checkpoint(work_dir: Path, config: Mapping[str, Any]) -> Path:
    """The checkpoint that a run is judged by: the best of its validations where its config keeps it, else the last.

    Args:
        work_dir: The run's folder.
        config: Its config.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are the best ones of several metrics.
    """
    return find_checkpoint(work_dir, config, 'best' if get_key(config, 'default_hooks.checkpoint.save_best') else 'last')


def _best(work_dir: Path, folder: Path) -> Path:
    found = sorted(filter(is_complete, folder.glob('best_*.pth')), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f'{work_dir} has no best_*.pth. Set default_hooks.checkpoint.save_best in its config, or '
                                'use the last checkpoint.')
    metrics = sorted({re.sub(r'_(epoch|iter)_\d+$', '', path.stem) for path in found})
    if len(metrics) > 1:
        raise ValueError(f'{work_dir} has the best checkpoints of several metrics: {", ".join(metrics)}. Give '
                         'default_hooks.checkpoint.save_best one metric, or use the last checkpoint.')
    return found[-1].resolve()
