"""Which checkpoint a run takes, what it saves, and that both are whole and fit."""
import argparse
import logging
import os
from typing import Any, List, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from lbbt_mm.config_keys import find_types, walk
from lbbt_mm.files.whole_files import write_files_whole
from lbbt_mm.mmengine_internals import set_checkpoint
from lbbt_mm.registry import LOADING_STEPS
from .settings import add_hook
from .work_directory import checkpoint_folder, checkpoints_in, is_first_rank, latest_checkpoint


def find_resumed_checkpoint(cfg: Config, asked: Optional[str] = None) -> Tuple[Optional[str], List[str]]:
    """Find the checkpoint that a run resumes, and have the run make up for a validation that was cut off.

    Args:
        cfg: The run's config, which gets to say so too. Without a checkpoint in the work directory it no longer resumes, and
            starts as it would without ``--resume``, from its ``load_from`` if it has one.
        asked: A checkpoint, or ``'auto'`` for the latest one in the work directory. Defaults to None, what the config says.

    Returns:
        tuple: The checkpoint, None for a run that does not resume; and notes for the log.

    Raises:
        ValueError: If it is from elsewhere, and this run's folder holds checkpoints already.
    """
    if not (asked or cfg.get('resume')):
        return None, []
    checkpoint, notes = asked or cfg.get('load_from') or 'auto', []
    if checkpoint != 'auto':
        _refuse_among_others(cfg, checkpoint)
        cfg.resume, cfg.load_from = True, checkpoint
    else:
        latest = latest_checkpoint(cfg.work_dir, cfg)
        cfg.resume = latest is not None
        if latest is None:
            if is_first_rank(cfg):
                print_log(f'{checkpoint_folder(cfg.work_dir, cfg)} holds no complete checkpoint to resume, so the training '
                          'starts at its beginning.', logger='current')
            return None, []
        cfg.load_from, checkpoint = None, str(latest.path)
        notes = [*([latest.note] if latest.note else []), f'Auto resumed from the latest checkpoint {checkpoint}.']
    add_hook(cfg, 'PendingValidationHook')
    return checkpoint, notes


def _refuse_among_others(cfg: Config, checkpoint: str) -> None:
    """Refuse to go on from a file elsewhere in a folder with checkpoints, be they another run's or this one's later ones."""
    folder = checkpoint_folder(cfg.work_dir, cfg)
    there = [] if '://' in folder else checkpoints_in(folder, cfg)
    source = os.path.dirname(os.path.expanduser(checkpoint.rstrip(os.sep)))
    if there and os.path.realpath(source) != os.path.realpath(folder):
        raise ValueError(f'--resume {checkpoint}: {folder} holds checkpoints already ({there[0].name}), which this run '
                         'would overwrite or remove; expected none beside a checkpoint from elsewhere. Choose another '
                         '--work-dir, or give --resume without a file to go on with those.')


def say_what_is_overwritten(cfg: Config, resumed: Optional[str]) -> None:
    """Say so where a run starts anew among the checkpoints of an earlier one, whose names it will use.

    Args:
        cfg: The run's config.
        resumed: The checkpoint that it goes on from; then they are its own.
    """
    folder = checkpoint_folder(cfg.work_dir, cfg)
    there = checkpoints_in(folder, cfg) if not resumed and '://' not in folder else []
    if there:
        print_log(f'{folder} holds checkpoints of an earlier training ({there[0].name}), and this one starts anew and '
                  'overwrites those of the same name. --resume goes on with it; another --work-dir keeps both.',
                  logger='current', level=logging.WARNING)


def save_whole_checkpoints(cfg: Config) -> None:
    """Put :class:`lbbt_mm.WholeCheckpointHook` in the place of mmengine's hook; one of another type is left alone."""
    write_files_whole()
    hooks = cfg.get('default_hooks') or {}
    hook = hooks.get('checkpoint', dict(type='CheckpointHook', interval=1))  # the runner's own default
    kind = hook.get('type') if isinstance(hook, dict) else None
    if kind is CheckpointHook or kind in ('CheckpointHook', 'mmengine.CheckpointHook'):
        cfg.default_hooks = {**hooks, 'checkpoint': {**hook, 'type': 'lbbt_mm.WholeCheckpointHook'}}


def pretrained_files(config: Any) -> List[str]:
    """The local checkpoints that initialisation steps below ``config`` load."""
    loaded = [step['checkpoint'] for _, step in find_types(config, *LOADING_STEPS) if step.get('checkpoint')]
    # mmseg's and mmpretrain's other way to name one
    return loaded + [part for key, part in walk(config) if isinstance(part, str) and key.rpartition('.')[2] == 'pretrained']


def check_fit(runner: Runner, cfg: Config, args: argparse.Namespace, notes: Sequence[str] = (),
              resumed: Optional[str] = None) -> None:
    """Have a runner refuse a checkpoint that does not fit its model, see :class:`lbbt_mm.CheckpointFitHook`.

    Args:
        runner: The runner, before it trains or tests.
        cfg: Its config; ``leave_out`` names parts that are not taken from ``load_from``, which a resumed run does not read.
        args: Parsed arguments.
        notes: What the log is to say once the checkpoint is loaded.
        resumed: The checkpoint that the runner is to resume; the config, which is dumped, need not name it.
    """
    from lbbt_mm.engine.hooks import CheckpointFitHook  # brings the mm codebases, which take seconds
    if resumed:
        set_checkpoint(runner, resumed)
    leave_out = not resumed and cfg.get('leave_out') or []
    leave_out = [*([leave_out] if isinstance(leave_out, str) else leave_out), *args.leave_out]
    if leave_out and not (cfg.get('load_from') or cfg.get('resume')):
        raise ValueError(f'--leave-out {" ".join(leave_out)}: this run takes nothing from a checkpoint. Give '
                         'load_from=..., or remove it.')
    runner.register_hook(CheckpointFitHook(leave_out, getattr(args, 'allow_change', ()), notes))
