"""What ``--resume`` asks of a config before anything starts: that it is the config of the run which is resumed."""
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

from mmengine.config import Config

from lbbt_mm.argument_checks import is_whole
from lbbt_mm.config_keys import get_key, is_allowed, language_keys, refusal
from lbbt_mm.files.config_text import read_config_text
from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from lbbt_mm.language.families import read_spec
from lbbt_mm.language.options import disagreements
from lbbt_mm.language.source import open_checkpoint
from lbbt_mm.registry import type_name
from .run_identity import changed_settings, restore


def check_resumed_config(cfg: Config, checkpoint: Optional[str], allow_change: Sequence[str] = (),
                         trust: bool = False) -> List[str]:
    """Compare a config with that of the checkpoint it resumes, and take over what a resumed run has from its checkpoint.

    The seed, where the config draws one, and options of the optimizer and of the schedules are the checkpoint's own: they
    are written into the config, so that what is dumped is what the run has.

    Args:
        cfg: The run's config, with ``resume=True``.
        checkpoint: The checkpoint that it resumes; remote ones are not compared.
        allow_change: Keys that may differ: a dotted key, a part above it, or its last name.
        trust: Whether the user vouches for the checkpoint, so that it may be unpickled.

    Returns:
        list[str]: What is said about it in the log.

    Raises:
        ValueError: If the config is that of another experiment.
    """
    if not checkpoint or not os.path.isfile(os.path.expanduser(checkpoint)):
        return []
    content = load_checkpoint_safely(checkpoint, map_location='meta', trust=trust)
    meta = content.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    _check_averages(cfg, checkpoint, content)
    recorded = read_config_text(meta.get('lbbt_mm_config_text', meta.get('cfg')))
    _take_seed(meta.get('seed'), cfg, recorded)
    if recorded is None:
        return [f'{checkpoint} does not say which config it was trained with, so that could not be compared.']
    changes, without_effect = changed_settings(cfg, recorded)
    phrases = {**{change.key: str(change) for change in changes}, **_take_language(cfg, recorded, allow_change)}
    refused = {key: phrase for key, phrase in phrases.items() if not is_allowed(key, allow_change)}
    if refused:
        phrase, flag = refusal(refused)
        raise ValueError(f'{checkpoint}: was trained by another config: {phrase}. Resume with the config of that run, '
                         f'choose another --work-dir, or go on all the same with {flag}.')
    restore(cfg, recorded, without_effect)
    notes = [f'--allow-change: {phrase}.' for phrase in phrases.values()]
    return notes + [f'{change}: without effect, since a resumed run takes it from its checkpoint.'
                    for change in without_effect]


def _take_language(cfg: Config, recorded: dict, allow_change: Sequence[str]) -> Dict[str, str]:
    """Write the language model that the run had, as its checkpoint says, into a config that leaves it to a folder or file.

    Returns:
        dict[str, str]: Key -> what another folder or file says of it than the checkpoint, where one is asked for now.
    """
    found = {}
    for key in language_keys(cfg.get('model')):
        language, had = get_key(cfg, key), get_key(recorded, key)
        if language.get('config') or not isinstance(had, dict) or not isinstance(had.get('config'), dict):
            continue
        path = str(language.get('checkpoint'))
        if path != had.get('checkpoint') and os.path.exists(os.path.expanduser(path)):
            differences = disagreements(read_spec(had['config'], f'{key}.config'), open_checkpoint(path).spec)
            if differences:
                found[f'{key}.config'] = (f'{path} (the checkpoint) is not the language model of that run (the config): '
                                          + '; '.join(differences))
        if not is_allowed(f'{key}.config', allow_change):
            language['config'] = had['config']
    return found


def _take_seed(seed: Any, cfg: Config, recorded: Optional[dict]) -> None:
    """Write the seed that the checkpoint's run had, drawn or given, into both configs."""
    if is_whole(seed):
        randomness = cfg.get('randomness') or {}
        if randomness.get('seed') is None:
            cfg.randomness = {**randomness, 'seed': seed}
        if recorded is not None:
            recorded['randomness'] = {**(recorded.get('randomness') or {}), 'seed': seed}


def _check_averages(cfg: Config, checkpoint: str, content: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose averaged weights are not those of its weights, which mmengine takes as far as they go.

    With averages, ``state_dict`` has these and ``ema_state_dict`` the trained weights: without it, training would go on from
    the averages.
    """
    if not any(type_name(hook) == 'EMAHook' for hook in cfg.get('custom_hooks') or []):
        return
    weights, averages = content.get('state_dict'), content.get('ema_state_dict')
    if not isinstance(weights, Mapping):
        return  # which is said when it is loaded
    found = averages if isinstance(averages, Mapping) else {}
    shapes = {f'module.{name}': getattr(value, 'shape', None) for name, value in weights.items()}
    odd = [name for name in shapes if name not in found or getattr(found[name], 'shape', None) != shapes[name]]
    odd += [name for name in found if str(name).startswith('module.') and name not in shapes]
    if odd:
        what = f'{odd[0]} is not there, or of another shape ({len(odd)} such tensors)' if found else 'there are none'
        raise ValueError(f'{checkpoint}: EMAHook is among the hooks, and ema_state_dict of the checkpoint does not fit its '
                         f'state_dict: {what}. Resume from a checkpoint of that run, or start a new one from the weights: '
                         'load_from=... without --resume.')
