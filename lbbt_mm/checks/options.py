"""Settings that nothing reads: misspelt keys of a command line, and misspelt names at the top of a config."""
import inspect
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any, List, Mapping, Set, Tuple

import mmengine.registry as registries
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from lbbt_mm.mmengine_internals import plain_config
from lbbt_mm.registry import parameters_of, type_name


def _arguments(kind: type) -> Set[str]:
    return set(inspect.signature(kind.__init__).parameters) - {'self', 'runner', 'dataloader', 'evaluator', 'kwargs'}


#: Settings that mmengine's runner, our tools, or those of the mm projects read at the top.
TOP_NAMES = {
    *_arguments(Runner), 'auto_scale_lr', 'backend_args', 'compile', 'custom_imports', 'default_scope', 'env_cfg',
    'find_unused_parameters', 'efficient_conv_bn_eval', 'leave_out', 'load_from', 'model_wrapper_cfg', 'resume',
    'runner_type', 'sync_bn', 'tta_model', 'tta_pipeline', 'work_dir',
}
#: Settings below the top that name no class, and what reads them.
_READ = {
    'randomness': {'seed', 'diff_rank_seed', 'deterministic'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'optim_wrapper': {*_arguments(OptimWrapper), 'type', 'constructor', 'paramwise_cfg', 'loss_scale', 'dtype', 'use_fsdp'},
    'train_cfg': {*_arguments(EpochBasedTrainLoop), 'by_epoch', 'type'},
    'train_cfg by iterations': {*_arguments(IterBasedTrainLoop), 'by_epoch', 'type'},
    'val_cfg': {*_arguments(ValLoop), 'type'},
    'test_cfg': {*_arguments(TestLoop), 'type'},
}
_PARAMWISE = {'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult', 'dwconv_decay_mult',
              'dcn_offset_lr_mult', 'bypass_duplicate'}
#: What mmengine reads of an ``init_cfg``, and of what is overridden in it, beside the arguments of its type
_OF_INIT = {'override', 'name'}
_WRAPPERS = ('OptimWrapper', 'AmpOptimWrapper', 'AutocastOptimWrapper')
_DATA = {*_arguments(DataLoader), 'dataset', 'sampler', 'batch_sampler', 'collate_fn', 'num_batch_per_epoch', 'type',
         'indices'}


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse settings of a command line that are nowhere in the config and that nothing reads.

    Args:
        cfg: The config, before they are put in.
        options: Dotted key -> value.

    Raises:
        ValueError: Names the key and the nearest that there is.
    """
    types = {key.rpartition('.')[0]: value for key, value in options.items() if key.split('.')[-1] == 'type'}
    for key in options:
        place, parts = plain_config(cfg), key.split('.')
        for depth, part in enumerate(parts):
            if isinstance(place, (list, tuple)):
                if not part.isdigit() or int(part) >= len(place):
                    raise ValueError(f'--cfg-options {key}: {".".join(parts[:depth])} is a list of {len(place)}; expected a '
                                     f'place in it, 0 to {len(place) - 1}, for {part!r}. Correct the key.')
                place = place[int(part)]
            elif not isinstance(place, Mapping):
                break  # mmengine says that it is no dict
            elif part in place:
                place = place[part]
            else:
                above = '.'.join(parts[:depth])
                _check_new(key, parts, depth, {**place, 'type': types[above]} if above in types else place, cfg)
                break


def check_names(cfg: Config) -> None:
    """Refuse a name at the top of a config that is one which the runner reads but for a letter.

    Args:
        cfg: A run's config. Other names are variables of its author; so may be those near to a short one, such as models.

    Raises:
        ValueError: Names it and what is meant.
    """
    for name in cfg.keys() - TOP_NAMES:
        meant = next((key for key in sorted(TOP_NAMES) if len(key) > 5 and _less_a_letter(key) & _less_a_letter(name)), None)
        if meant:
            raise ValueError(f'{cfg.filename or "The config"}: nothing reads {name!r} at its top; did you mean {meant}? '
                             'Correct it, or give a variable of your own another name.')


def _less_a_letter(name: str) -> Set[str]:
    """A name, and what is left of it without one letter: two names share one of these if they differ in a letter."""
    return {name, *(name[:place] + name[place + 1:] for place in range(len(name)))}


def _check_new(key: str, parts: List[str], depth: int, place: Mapping[str, Any], cfg: Config) -> None:
    """A key that its part of the config does not have: somebody has to read it."""
    new, above = parts[depth], parts[:depth]
    if _takes_any_key(above, place) or place.get('_delete_'):
        return
    known, is_whole = _readers(above, place, cfg)
    if new in known:
        return
    nearest = get_close_matches(new, sorted({*map(str, place), *known}), 1, 0.6 if is_whole else 0.8)
    if not is_whole and not nearest:
        return  # an open dict, such as the arguments of a class that hands them on
    meant = '.'.join([*above, nearest[0], *parts[depth + 1:]]) if nearest else ''
    there = ', '.join(sorted(map(str, place))[:12])
    raise ValueError(f'--cfg-options {key}: {".".join(above) or "the config"} has no {new!r}, and nothing reads it'
                     + (f'; did you mean {meant}?' if nearest else f'; it has {there}.') + ' Correct the key.')


def _takes_any_key(above: List[str], place: Mapping[str, Any]) -> bool:
    """Whether nobody can say which keys a part has: those of custom_keys name parts of the model, and norm_cfg and its like
    are handed on to a layer.
    """
    return 'custom_keys' in above or (len(above) > 1 and above[-1].endswith('_cfg') and above[-1] != 'init_cfg'
                                      and 'type' in place)


def _readers(above: List[str], place: Mapping[str, Any], cfg: Config) -> Tuple[Set[str], bool]:
    """The keys that are read in a part of a config, and whether these are all."""
    if not above:
        return TOP_NAMES, True
    last = above[-1]
    if last == 'language':
        return set(), False  # LanguageOptions refuses what it does not know, by name
    if last == 'paramwise_cfg':
        return set(_PARAMWISE), False  # a constructor of one's own may read more
    if len(above) == 1 and last.endswith('_dataloader'):
        return _DATA, True
    if len(above) == 1 and last in _READ and type_name(place) in ('', *_WRAPPERS):
        return _READ[last if place.get('by_epoch', True) else f'{last} by iterations'], True
    known, is_whole = _arguments_of_type(place.get('type'), cfg) if 'type' in place else (set(), False)
    return known | (_OF_INIT if 'init_cfg' in above else set()), is_whole


def _arguments_of_type(kind: Any, cfg: Config) -> Tuple[Set[str], bool]:
    """What the class of a registered name takes, and whether that is all; it may not be known, or take anything."""
    kind = _find_class(kind, cfg.get('default_scope') or 'mmengine') if isinstance(kind, str) else kind
    if not inspect.isclass(kind):
        return set(), False
    parameters, is_whole = parameters_of(kind)
    named = {name for name, one in parameters.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return named - {'self'} | {'type'}, is_whole


def _find_class(name: str, scope: str) -> Any:
    """A registered class by its name, in whichever registry of a scope it is."""
    scope, _, short = name.rpartition('.') if '.' in name else (scope, '', name)
    with suppress(Exception):  # a codebase that is not there is said by what builds the run
        import_module(f'{scope}.registry')
    roots = [value for value in vars(registries).values() if isinstance(value, Registry)]
    at_root = [root for root in roots if short in root.module_dict]
    children = [child for root in at_root or roots for child in root.children.values() if child.scope == scope]
    for child in children:
        with suppress(Exception):
            child.import_from_location()
    # a codebase's class comes before mmcv's of the same name, which is at the root
    return next((one.module_dict[short] for one in (*children, *at_root) if short in one.module_dict), None)
