"""What ``tools/train.py`` and ``tools/test.py`` share: arguments, config, processes, mixed precision, checkpoints."""
import argparse
import logging
import os
import os.path as osp
from typing import Any, List, Optional, Sequence, Tuple

import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from lbbt_mm.registry import LOADING_STEPS, type_name
from .attempt import BegunHook
from .config_files import read_config_file
from .config_options import ConfigOptions
from .hooks.checkpoint_fit_hook import CheckpointFitHook
from .hooks.named_files_hook import NamedFilesHook
from .option_checks import check_options
from .whole_files import write_files_whole
from .work_directory import checkpoint_folder, is_first_rank, latest_checkpoint, numbered_checkpoints

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that mm's training and testing tools have in common."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default: work_dirs/NAME_OF_CONFIG')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override settings of the config, for example model.language.arm=shuffled. Lists: key="[a,b]" or key=a,b')
    parser.add_argument(
        '--leave-out',
        nargs='+',
        action='extend',
        default=[],
        metavar='PART',
        help='parts of the model that are not taken from the checkpoint, for example bbox_head.fc_cls; all else has to '
             'fit. Also '
        'leave_out=[...] in the config')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how the processes were started')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints that need unpickling, which runs code from the file')


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the command line's overrides.

    Args:
        args: Parsed arguments with ``config`` and those of :func:`add_run_arguments`.

    Returns:
        Config: The run's config, with ``launcher`` and ``work_dir`` set.
    """
    if 'LOCAL_RANK' not in os.environ:
        os.environ['LOCAL_RANK'] = str(args.local_rank)
    cfg = read_config_file(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        check_options(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0])
    return cfg


def record_language_config(cfg: Config) -> None:
    """Add LanguageConfigHook for a model that has a ``language`` dict, where the config does not name the hook.

    So a config that only writes ``type='lbbt_mm.LanguageDETR'`` can be resumed without the language model too.
    """
    if _has_language(cfg.get('model')):
        _add_hook(cfg, 'LanguageConfigHook')


def _add_hook(cfg: Config, name: str) -> None:
    """Add a hook of ours, unless the config names it."""
    hooks = list(cfg.get('custom_hooks') or [])
    if not any(name in str(hook.get('type') if isinstance(hook, dict) else hook) for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type=f'lbbt_mm.{name}')]


def _has_language(config: Any) -> bool:
    """Whether a ``language`` dict is in the model's config or in a part of it."""
    return isinstance(config, dict) and (isinstance(config.get('language'), dict)
                                         or any(_has_language(part) for part in config.values()))


def start_processes(cfg: Config) -> None:
    """Join the process group where there is no accelerator; elsewhere mmengine does it.

    mmengine selects a CUDA device per rank and wraps the model for it, so ranks on CPUs need a gloo group that exists
    before its runner, and a wrapper without device ids.
    """
    if cfg.launcher == 'none' or get_device() != 'cpu':
        return
    if cfg.launcher != 'pytorch':
        raise ValueError(f"--launcher {cfg.launcher}: ranks without an accelerator are started with torchrun here. Use "
                         'tools/dist_train.sh or --launcher pytorch.')
    if not dist.is_initialized():
        dist.init_process_group('gloo')
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}


def enable_amp(cfg: Config) -> None:
    """Turn on mixed precision: mmengine's wrapper on GPUs, bfloat16 autocast of ours elsewhere."""
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    kind = kind if isinstance(kind, str) else kind.__name__
    name = kind.split('.')[-1]
    if name == 'AutocastOptimWrapper' or name == 'AmpOptimWrapper' and get_device() != 'cpu':
        return
    if name not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f"--amp works with optim_wrapper.type='OptimWrapper'; found {kind!r}. Remove --amp, or set the "
                         'precision in the config.')
    if get_device() == 'cpu':
        cfg.optim_wrapper.type = 'lbbt_mm.AutocastOptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):  # options of mmengine's wrapper for GPUs
            cfg.optim_wrapper.pop(key, None)
    else:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def enable_auto_scale_lr(cfg: Config) -> None:
    """Turn on linear scaling of the learning rate with the total batch size."""
    scaling = cfg.get('auto_scale_lr') or {}
    if 'base_batch_size' not in scaling:
        raise ValueError('--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config: the batch size that '
                         'its learning rate was chosen for. Add it, or drop the flag.')
    cfg.auto_scale_lr.enable = True


def resume_from(cfg: Config, checkpoint: str) -> None:
    """Set a config to resume, see :func:`find_resumed_checkpoint`.

    Args:
        cfg: The run's config.
        checkpoint: A checkpoint, or ``'auto'`` for the latest one in the work directory.
    """
    cfg.resume = True
    if checkpoint != 'auto':
        cfg.load_from = checkpoint
    elif latest_checkpoint(cfg.work_dir, cfg):
        cfg.load_from = None
    else:  # the run starts as it would without --resume, from the config's load_from if it has one
        _start_anew(cfg)


def find_resumed_checkpoint(cfg: Config) -> Tuple[Optional[str], List[str]]:
    """Find the checkpoint that a config resumes, and have the run make up for a validation that was cut off.

    Args:
        cfg: The run's config. Without a checkpoint in the work directory it no longer resumes.

    Returns:
        tuple: The checkpoint, None for a run that does not resume; and what there is to say about it in the log.
    """
    if not cfg.get('resume'):
        return None, []
    checkpoint, notes = cfg.get('load_from'), []
    if not checkpoint:
        latest = latest_checkpoint(cfg.work_dir, cfg)
        if latest is None:
            _start_anew(cfg)
            return None, []
        checkpoint = str(latest.path)
        notes = [*([latest.note] if latest.note else []), f'Auto resumed from the latest checkpoint {checkpoint}.']
    _add_hook(cfg, 'PendingValidationHook')
    return checkpoint, notes


def _start_anew(cfg: Config) -> None:
    cfg.resume = False
    if is_first_rank(cfg):
        print_log(f'{checkpoint_folder(cfg.work_dir, cfg)} holds no complete checkpoint to resume, so the training starts '
                  'at its beginning.', logger='current')


def say_what_is_overwritten(cfg: Config, resumed: Optional[str]) -> None:
    """Say so where a run starts anew among the checkpoints of an earlier one, whose names it will use.

    Args:
        cfg: The run's config.
        resumed: The checkpoint that it goes on from; then they are its own.
    """
    folder = checkpoint_folder(cfg.work_dir, cfg)
    there = numbered_checkpoints(folder, cfg) if not resumed and '://' not in folder else []
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
    if isinstance(config, (list, tuple)):
        return [file for item in config for file in pretrained_files(item)]
    if not isinstance(config, dict):
        return []
    own = [config['checkpoint']] if type_name(config) in LOADING_STEPS and config.get('checkpoint') else []
    if isinstance(config.get('pretrained'), str):  # mmseg's and mmpretrain's other way to name one
        own.append(config['pretrained'])
    return own + [file for value in config.values() for file in pretrained_files(value)]


def check_fit(runner: Runner, cfg: Config, args: argparse.Namespace, notes: Sequence[str] = (),
              resumed: Optional[str] = None) -> None:
    """Have a runner refuse a checkpoint that does not fit its model, see :class:`lbbt_mm.CheckpointFitHook`.

    Args:
        runner: The runner, before it trains or tests.
        cfg: Its config; ``leave_out`` names parts that are not taken from the checkpoint.
        args: Parsed arguments.
        notes: What the log is to say once the checkpoint is loaded.
        resumed: The checkpoint that the runner is to resume; the config, which is dumped, need not name it.
    """
    if resumed:
        runner._load_from = resumed
    leave_out = cfg.get('leave_out') or []
    leave_out = [*([leave_out] if isinstance(leave_out, str) else leave_out), *args.leave_out]
    if leave_out and not (cfg.get('load_from') or cfg.get('resume')):
        raise ValueError(f'--leave-out {" ".join(leave_out)}: this run takes nothing from a checkpoint. Give '
                         'load_from=..., or '
                         'remove it.')
    runner.register_hook(CheckpointFitHook(leave_out, getattr(args, 'allow_change', ()), notes))


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config names; errors while it loads samples name their files."""
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(NamedFilesHook())
    runner.register_hook(BegunHook(), 'VERY_HIGH')
    return runner


def stop_processes() -> None:
    """Leave the process group, so that ranks end together."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()  # gloo's threads end the process where a rank leaves while another still talks to it
        dist.destroy_process_group()

