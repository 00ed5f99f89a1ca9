"""The checkpoint that a run left for those that start from it."""
import re
from pathlib import Path
from typing import Any, Mapping, Optional

from lbbt_mm.config_keys import get_key
from lbbt_mm.launch.work_directory import checkpoint_folder, is_complete, numbered_checkpoints, read_marker

#: By which metric a run keeps its best checkpoint
_SAVE_BEST = 'default_hooks.checkpoint.save_best'


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
    return find_checkpoint(work_dir, config, 'best' if get_key(config, _SAVE_BEST) else 'last')


def refuse_no_best(where: str, config: Mapping[str, Any]) -> None:
    """Refuse a config whose run would not leave the best checkpoint by one metric, before it is trained.

    Args:
        where: What the config is called.
        config: The config.

    Raises:
        ValueError: If it names no metric, or several.
    """
    found = get_key(config, _SAVE_BEST)
    others = [hook for hook in config.get('custom_hooks') or () if isinstance(hook, Mapping) and hook.get('save_best')]
    if found is None and others:
        return  # another checkpoint hook keeps it
    names = found if isinstance(found, (list, tuple)) else [found]
    if len(names) != 1 or not names[0]:
        raise ValueError(f'--checkpoint best: {where} has {_SAVE_BEST}={found!r}; expected the name of one metric, or auto. '
                         'Set it, or use the last checkpoint.')


def _best(work_dir: Path, folder: Path) -> Path:
    found = sorted(filter(is_complete, folder.glob('best_*.pth')), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f'{work_dir} has no best_*.pth. Set {_SAVE_BEST} in its config, or use the last '
                                'checkpoint.')
    metrics = sorted({re.sub(r'_(epoch|iter)_\d+$', '', path.stem) for path in found})
    if len(metrics) > 1:
        raise ValueError(f'{work_dir} has the best checkpoints of several metrics: {", ".join(metrics)}. Give '
                         f'{_SAVE_BEST} one metric, or use the last checkpoint.')
    return found[-1].resolve()
