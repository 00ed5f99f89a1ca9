"""Whether a resumed run is the run: its config compared with the one that the checkpoint was trained with."""
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from mmengine.config import Config, ConfigDict

from lbbt_mm.config_keys import ABSENT, Change, differing, get_key
from lbbt_mm.files.config_text import read_config_text
from lbbt_mm.language.arms import DEFAULT_ARM
from lbbt_mm.registry import type_name

#: What mmengine's runner makes an experiment of; other names in a config are variables of its author.
_EXPERIMENT = ('runner_type', 'strategy', 'default_scope', 'custom_imports', 'default_hooks', 'model', 'data_preprocessor',
               'train_dataloader', 'val_dataloader', 'val_evaluator', 'train_cfg', 'val_cfg', 'optim_wrapper',
               'param_scheduler', 'custom_hooks', 'randomness', 'sync_bn', 'model_wrapper_cfg')
#: How data come, not which, in a data loader or a data set below one: the samples and their order do not depend on it.
_HOW = re.compile(r'(.+\.)?\w+_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor|'
                  r'((datasets?|\d+)\.)*(lazy_init|serialize_data))', re.ASCII)
#: Default hooks that write down what a run does. mmengine adds the others by itself where a config does not name them.
_WRITERS = ('runtime_info', 'timer', 'logger', 'checkpoint', 'visualization')
_DEFAULT_HOOKS = dict(param_scheduler=dict(type='ParamSchedulerHook'), sampler_seed=dict(type='DistSamplerSeedHook'))
#: Hooks that our tools add by themselves.
_OURS = ('LanguageConfigHook', 'PendingValidationHook', 'CheckpointFitHook')
_PATHS = ('data_root', 'ann_file', 'data_prefix', 'img', 'img_path', 'seg_map_path', 'proposal_file')
#: What a ``language`` dict has that does not state it.
LANGUAGE_DEFAULTS = dict(arm=DEFAULT_ARM, seed=0)


def changed_settings(cfg: Config, recorded: Mapping[str, Any]) -> Tuple[List[Change], List[Change]]:
    """Compare the config of a run with that of the checkpoint it resumes.

    Args:
        cfg: The run's config.
        recorded: The checkpoint's, as :func:`~lbbt_mm.files.config_text.read_config_text` reads it.

    Returns:
        tuple: The changes that make it another experiment, and those that have no effect on a resumed run, since the
        checkpoint brings its own values.
    """
    asked = read_config_text(cfg.pretty_text) or {}
    changes = [Change(*found) for found in differing(_experiment(recorded), _experiment(asked), seen_as=_seen_as)
               if not _same_place(*found)]
    same_schedule = _types(recorded.get('param_scheduler')) == _types(asked.get('param_scheduler'))
    without_effect = [change for change in changes if _comes_from_checkpoint(change.key, same_schedule)]
    return [change for change in changes if change not in without_effect], without_effect


def _experiment(config: Mapping[str, Any]) -> Dict[str, Any]:
    kept = {key: config[key] for key in _EXPERIMENT if config.get(key) is not None}
    hooks = kept.get('custom_hooks')
    if isinstance(hooks, list):
        kept['custom_hooks'] = [hook for hook in hooks if str(get_key(hook, 'type')).replace('lbbt_mm.', '') not in _OURS]
    hooks = config.get('default_hooks') or {}
    kept['default_hooks'] = {name: hook for name, hook in {**_DEFAULT_HOOKS, **hooks}.items() if name not in _WRITERS}
    return kept


def _types(schedulers: Any) -> List[str]:
    return [type_name(scheduler) for scheduler in (schedulers if isinstance(schedulers, list) else [schedulers])]


def _comes_from_checkpoint(key: str, same_schedule: bool) -> bool:
    """Torch restores all of an optimizer's options, mmengine all of a scheduler's."""
    if key.startswith('param_scheduler'):
        return same_schedule
    return key.startswith('optim_wrapper.optimizer.') and key != 'optim_wrapper.optimizer.type'


def _seen_as(key: str, there: Any, asked: Any) -> Tuple[Any, Any]:
    """What of two values can make another experiment."""
    if _HOW.fullmatch(key):
        return ABSENT, ABSENT
    if key.rpartition('.')[2] == 'language':
        there, asked = _whole_language(there, asked), _whole_language(asked, there)
    return tuple(ABSENT if isinstance(value, (list, dict)) and not value else value for value in (there, asked))


def _whole_language(language: Any, other: Any) -> Any:
    """A ``language`` dict with its defaults; what it left to the checkpoint's config counts as what the other states."""
    if not isinstance(language, dict) or not isinstance(other, dict):
        return language
    whole = {**LANGUAGE_DEFAULTS, **language}
    if not whole.get('config'):
        whole['config'] = other.get('config')
    return whole


def _same_place(key: str, there: Any, asked: Any) -> bool:
    """Whether two paths lead to the same data, or to the same language model, which a resumed run does not read."""
    if not (isinstance(there, str) and isinstance(asked, str)):
        return False
    *_, owner, name = ['', *key.split('.')]
    if owner == 'language' and name == 'checkpoint':
        return os.path.basename(there.rstrip('/')) == os.path.basename(asked.rstrip('/'))
    if has_moved(key, there, asked):
        return True
    return name in _PATHS and os.path.realpath(os.path.expanduser(there)) == os.path.realpath(os.path.expanduser(asked))


def has_moved(key: str, there: Any, asked: Any) -> bool:
    """Whether a setting is the path of a checkpoint to start from, in a run's folder that lay elsewhere before.

    Args:
        key: Its dotted key.
        there: Its value then.
        asked: Its value now: a file of that name, in a folder of that name, while there is none in the old place.
    """
    parts = key.split('.')
    return (parts[-1] == 'checkpoint' and 'init_cfg' in parts and isinstance(there, str) and isinstance(asked, str)
            and Path(there).parts[-2:] == Path(asked).parts[-2:] and len(Path(there).parts) > 2
            and not os.path.lexists(os.path.expanduser(there)) and os.path.isfile(os.path.expanduser(asked)))


def restore(cfg: Config, recorded: Mapping[str, Any], changes: Sequence[Change]) -> None:
    """Write what a resumed run takes from its checkpoint back into a config, so that what is dumped is what the run has.

    Args:
        cfg: The run's config.
        recorded: The checkpoint's.
        changes: Those of :func:`changed_settings` that have no effect: options of the optimizer, and of the schedules.
    """
    for change in changes:
        # schedules as a whole, and each option of the optimizer: a part of a tuple cannot be written
        key = '.'.join(change.key.split('.')[:1 if change.key.startswith('param_scheduler') else 3])
        part, name = (cfg if key == 'param_scheduler' else cfg.optim_wrapper.optimizer), key.split('.')[-1]
        value = get_key(ConfigDict(recorded), key, ABSENT)
        if value is ABSENT:
            part.pop(name, None)
        else:
            part[name] = value
