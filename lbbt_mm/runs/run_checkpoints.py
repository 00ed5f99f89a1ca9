"""The checkpoints that a run left for those that start from them."""
import re
from pathlib import Path
from typing import Any, Mapping, Optional

from lbbt_mm.launch.work_directory import checkpoint_folder, is_complete, numbered_checkpoints, read_marker


def last_checkpoint(work_dir: Path, config: Optional[Mapping[str, Any]], must_exist: bool = True) -> Path:
    """The checkpoint of a run's end.

    Args:
        work_dir: The run's folder.
        config: Its config.
        must_exist: Whether it is an error if it has been removed since.

    Raises:
        FileNotFoundError: If there is none.
    """
    folder, marker = Path(checkpoint_folder(work_dir, config)), read_marker(work_dir / 'last_checkpoint')
    # an earlier one than that is another result; the number says which it is where the marker does not
    last = folder / Path(marker).name if marker else next(iter(numbered_checkpoints(folder, config)), folder / 'none')
    if must_exist and not is_complete(last):
        raise FileNotFoundError(f'{work_dir} has no last checkpoint ({last.name} is absent or incomplete). If it was '
                                'removed, start this run afresh.')
    return last.resolve()


def best_checkpoint(work_dir: Path, config: Optional[Mapping[str, Any]]) -> Path:
    """The checkpoint of ``default_hooks.checkpoint.save_best``.

    Args:
        work_dir: The run's folder.
        config: Its config.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are the best ones of several metrics.
    """
    folder = Path(checkpoint_folder(work_dir, config))
    found = sorted(filter(is_complete, folder.glob('best_*.pth')), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f'{work_dir} has no best_*.pth. Set default_hooks.checkpoint.save_best in its config, or '
                                'use the last checkpoint.')
    metrics = sorted({re.sub(r'_(epoch|iter)_\d+$', '', path.stem) for path in found})
    if len(metrics) > 1:
        raise ValueError(f'{work_dir} has the best checkpoints of several metrics: {", ".join(metrics)}. Give '
                         'default_hooks.checkpoint.save_best one metric, or use the last checkpoint.')
    return found[-1].resolve()
