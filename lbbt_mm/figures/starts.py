"""What a training took from a checkpoint before its first step: it is a part of the run's start."""
import re
from collections import OrderedDict
from glob import escape
from pathlib import Path
from typing import Any, List, Optional

from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch import nn

from lbbt_mm.config_keys import find_types, walk
from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
from lbbt_mm.files.checkpoint_fit import (CheckpointMisfit, Fit, is_below, left_out_in, load_and_compare,
                                          metadata_without)
from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.language.stores import unwrapped


#: Parts of one GGUF file
_PART = re.compile(r'-\d{5}-of-(\d{5}\.gguf)$', re.IGNORECASE)


def start_files(cfg: Config, folder: Path, label: str) -> List[Path]:
    """The files on this machine that a run's start is read from: language weights, ``load_from``, a probe's bridge.

    Args:
        cfg: The run's config.
        folder: Of the run.
        label: What figures call the run.

    Returns:
        list[Path]: Those that are there; of a folder, what is in it; of a GGUF file in parts, all parts.
    """
    try:
        loaded = (_first_attempt(folder, label) if cfg.get('resume') else cfg).get('load_from')
    except ValueError:  # the start is not known, which making it says
        loaded = None
    named = [part for place, part in walk(cfg.get('model'), 'model') if place.endswith(('.checkpoint', '.pretrained'))]
    paths = [Path(one).expanduser() for one in dict.fromkeys(filter(_is_path, [loaded, *named]))]
    return [file for path in paths for file in _files_at(path) if file.is_file()]


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and '://' not in value


def _files_at(path: Path) -> List[Path]:
    if path.is_dir():
        return sorted(path.iterdir())
    ending = _PART.search(path.name)
    first = path.name[:ending.start()] if ending else ''
    return sorted(path.parent.glob(f'{escape(first)}-*-of-{ending[1]}')) if ending else [path]


def load_start(model: nn.Module, cfg: Config, folder: Path, end: Path, label: str) -> None:
    """Load ``load_from`` into a model that is initialised, as the training did.

    What ``tools/train.py --leave-out`` names is in no config, but in the checkpoints of the training.

    Args:
        model: The model, in place.
        cfg: The run's config.
        folder: Of the run; a run that was resumed says there what it started from.
        end: A checkpoint that the training wrote.
        label: What figures call the run.

    Raises:
        CheckpointMisfit: If the checkpoint does not fit, what the training left out aside.
        ValueError: If the run was resumed and its folder does not say how it began, or the checkpoint cannot be loaded.
    """
    cfg = _first_attempt(folder, label) if cfg.get('resume') else cfg
    source = cfg.get('load_from')
    if not source:
        return
    refuse_unsafe_checkpoints([source], trust=False)
    state = unwrapped(CheckpointLoader.load_checkpoint(source, map_location='cpu'))
    left_out = [*_left_out(cfg), *left_out_in(load_checkpoint_safely(end))]
    taken = {name[7:] if name.startswith('module.') else name: tensor for name, tensor in state.items()}
    taken = OrderedDict((name, tensor) for name, tensor in taken.items() if not is_below(name, left_out))
    taken._metadata = metadata_without(state, left_out)
    fit = load_and_compare(model, taken, source)
    misfits = Fit([], [name for name in fit.missing if not is_below(name, left_out)], fit.extra, fit.misshapen)
    if misfits.names:
        raise CheckpointMisfit(f'{label}: its training began from load_from={source}, which does not fit: '
                               f'{misfits.describe()}. Name what the training left out: --cfg-options '
                               "leave_out=['PART'].")


def _left_out(cfg: Config) -> List[str]:
    found = [cfg.get('leave_out'), *(hook.get('leave_out') for _, hook in find_types(
        cfg.get('custom_hooks'), 'CheckpointFitHook'))]
    return [name for part in found if part for name in ([part] if isinstance(part, str) else part)]


def _first_attempt(folder: Path, label: str) -> Config:
    """The config of the last start in a folder that was no resumption."""
    from lbbt_mm.runs.run_request import read_config
    for path in sorted(folder.glob('*/vis_data/config.py'), reverse=True):
        found: Optional[Config] = read_config(path)
        if not found.get('resume'):
            return found
    raise ValueError(f'{label}: its config resumes another run (resume=True), and {folder} does not say how that one began '
                     '(*/vis_data/config.py), so its start is not known. Show its end alone.')
