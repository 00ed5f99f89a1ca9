"""What a command line sets in a run's config."""
import argparse
import os
import os.path as osp
from typing import Any, List, Mapping, Sequence

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.utils import import_modules_from_strings

from lbbt_mm.checks.options import TOP_NAMES, check_options
from lbbt_mm.config_keys import find_types, language_keys
from lbbt_mm.files.config_files import read_config_file
from lbbt_mm.files.overwriting import refuse_closed_folder
from lbbt_mm.registry import type_name


def load_config(args: argparse.Namespace, needed: Sequence[str] = ()) -> Config:
    """Read the config and apply the command line's overrides.

    Args:
        args: Parsed arguments with ``config`` and those of :func:`~lbbt_mm.launch.arguments.add_run_arguments`.
        needed: Parts that the run cannot be without.

    Returns:
        Config: The run's config, with ``launcher`` and ``work_dir`` set.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it lacks such a part, an override is of a key that nothing reads, or nothing can be written to the
            work directory.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config_file(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        apply_options(cfg, args.cfg_options)
        if any(key.split('.')[0] == 'custom_imports' for key in args.cfg_options):
            import_modules_from_strings(**cfg.custom_imports)  # mmengine imports those that the file names
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0])
    refuse_closed_folder(f'--work-dir {cfg.work_dir}', cfg.work_dir)
    absent = [key for key in needed if cfg.get(key) is None]
    if absent:
        raise ValueError(f'{args.config}: has no {absent[0]}; expected {", ".join(needed)}. Give the config of a run.')
    return cfg


def apply_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Set what a command line asks for.

    Args:
        cfg: The config; it is changed.
        options: Dotted key -> value. A key that begins with the name of a type, ``RandomLabel.ratio``, is of every part
            of the config that has this type, wherever it is.

    Raises:
        ValueError: If a key is nowhere in the config and nothing reads it, or no part has such a type.
    """
    placed = {place: value for key, value in options.items() for place in meant_keys(cfg, key)}
    check_options(cfg, placed)
    cfg.merge_from_dict(placed)


def meant_keys(cfg: Config, key: str) -> List[str]:
    """The keys that a key of a command line stands for: itself, or one in each part of the type that it begins with.

    Raises:
        ValueError: If no part has such a type.
    """
    name, _, argument = key.partition('.')
    if not argument or not name[:1].isupper() or name in cfg:
        return [key]
    places = [place for place, _ in find_types(cfg.to_dict(), name) if place.split('.')[0] in TOP_NAMES]
    if not places:
        raise ValueError(f'--cfg-options {key}: no part of the config that a run reads has type={name!r}. Correct the '
                         'name, or give the whole key.')
    return [f'{place}.{argument}' for place in places]


def record_language_config(cfg: Config) -> None:
    """Add LanguageConfigHook for a model that has a ``language`` dict, where the config does not name the hook.

    So a config that only writes ``type='lbbt_mm.LanguageDETR'`` can be resumed without the language model too.
    """
    if language_keys(cfg.get('model')):
        add_hook(cfg, 'LanguageConfigHook')


def add_hook(cfg: Config, name: str) -> None:
    """Add a hook of ours, unless the config names it."""
    hooks = list(cfg.get('custom_hooks') or [])
    if not any(type_name(hook) == name for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type=f'lbbt_mm.{name}')]


def enable_amp(cfg: Config) -> None:
    """Turn on mixed precision: mmengine's wrapper on GPUs, bfloat16 autocast of ours elsewhere."""
    name = type_name(cfg.optim_wrapper) or 'OptimWrapper'
    if name == 'AutocastOptimWrapper' or name == 'AmpOptimWrapper' and get_device() != 'cpu':
        return
    if name not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f"--amp works with optim_wrapper.type='OptimWrapper'; found {name!r}. Remove --amp, or set the "
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
