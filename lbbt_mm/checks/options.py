"""Settings that nothing reads, and numbers that no run can have: refused before it starts."""
import inspect
import logging
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Iterable, List, Mapping, Set, Tuple

from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS, DefaultScope, Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from lbbt_mm.config_keys import find_keys, get_key
from lbbt_mm.language.arms import ARMS, DEFAULT_ARM
from lbbt_mm.registry import type_name

#: Settings beside the arguments of mmengine's runner that our tools, or those of the mm projects, read at the top.
_TOP = {
    'auto_scale_lr', 'backend_args', 'compile', 'custom_imports', 'default_scope', 'env_cfg', 'find_unused_parameters',
    'efficient_conv_bn_eval', 'leave_out', 'load_from', 'model_wrapper_cfg', 'resume', 'runner_type', 'sync_bn', 'tta_model',
    'tta_pipeline', 'work_dir',
}
#: Settings below the top that name no class, and what reads them.
_READ = {
    'randomness': {'seed', 'diff_rank_seed', 'deterministic'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'optim_wrapper': {'type', 'optimizer', 'constructor', 'paramwise_cfg'},
}
_PARAMWISE = {'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult', 'dwconv_decay_mult',
              'dcn_offset_lr_mult', 'bypass_duplicate'}
#: For parts whose keys nobody can know before they are read.
_ANYTHING: Set[str] = set()
_WRAPPERS = ('OptimWrapper', 'AmpOptimWrapper', 'AutocastOptimWrapper')
_DATA = {'dataset', 'sampler', 'batch_sampler', 'collate_fn', 'num_batch_per_epoch', 'type', 'indices'}


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
        place, parts = cfg._cfg_dict, key.split('.')
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


def _check_new(key: str, parts: List[str], depth: int, place: Mapping[str, Any], cfg: Config) -> None:
    """A key that its part of the config does not have: somebody has to read it."""
    new, (known, is_whole) = parts[depth], _readers(parts[:depth], place, cfg)
    if new in known or place.get('_delete_'):
        return
    if known is _ANYTHING:
        return
    nearest = get_close_matches(new, sorted({*map(str, place), *known}), 1, 0.6 if is_whole else 0.8)
    if not is_whole and not nearest:
        return  # an open dict, such as the arguments of a class that hands them on
    above = ".".join(parts[:depth])
    meant = '.'.join([*parts[:depth], nearest[0], *parts[depth + 1:]]) if nearest else ''
    there = ', '.join(sorted(map(str, place))[:12])
    raise ValueError(f'--cfg-options {key}: {above or "the config"} has no {new!r}, and nothing reads it'
                     + (f'; did you mean {meant}?' if nearest else f'; it has {there}.') + ' Correct the key.')


def _readers(above: List[str], place: Mapping[str, Any], cfg: Config) -> Tuple[Set[str], bool]:
    """The keys that are read in a part of a config, and whether these are all."""
    if not above:
        return _TOP | _arguments(Runner), True
    last = above[-1]
    if last == 'language':
        return set(), False  # LanguageOptions refuses what it does not know, by name
    if 'custom_keys' in above or last.endswith('_cfg') and 'type' in place and len(above) > 1:
        return _ANYTHING, False  # names of the model's parts; options of whatever type is chosen
    if last == 'paramwise_cfg':
        return set(_PARAMWISE), False  # a constructor of one's own may read more
    if len(above) == 1:
        if last == 'train_cfg' and 'type' not in place:
            loop = EpochBasedTrainLoop if place.get('by_epoch', True) else IterBasedTrainLoop
            return _arguments(loop) | {'by_epoch', 'type'}, True
        if last in ('val_cfg', 'test_cfg') and 'type' not in place:
            return _arguments(ValLoop if last == 'val_cfg' else TestLoop) | {'type'}, True
        if last.endswith('_dataloader'):
            return _arguments(DataLoader) | _DATA, True
        if last == 'optim_wrapper' and type_name(place) in ('', *_WRAPPERS):
            return _READ[last] | _arguments(OptimWrapper) | {'loss_scale', 'dtype', 'use_fsdp'}, True
        if last in _READ and last != 'optim_wrapper':
            return _READ[last], True
    return _arguments_of_type(place.get('type'), cfg) if 'type' in place else (set(), False)


def _arguments_of_type(kind: Any, cfg: Config) -> Tuple[Set[str], bool]:
    """What the class of a registered name takes, and whether that is all; it may not be known, or take anything."""
    if isinstance(kind, str):
        kind = _find_class(kind, cfg.get('default_scope') or 'mmengine')
    if not inspect.isclass(kind):
        return set(), False
    names, open_ended = {'type'}, True
    for base in kind.__mro__:
        if '__init__' not in vars(base) or base is object:
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names |= {parameter.name for parameter in parameters if parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            open_ended = False
            break
    return names - {'self'}, not open_ended


def _find_class(name: str, scope: str) -> Any:
    """A registered class by its name, in whichever registry of a scope it is."""
    scope, _, short = name.rpartition('.') if '.' in name else (scope, '', name)
    import mmengine.registry as registries
    with suppress(Exception):  # a codebase that is not there is said by what builds the run
        import_module(f'{scope}.registry')
    roots = [value for value in vars(registries).values() if isinstance(value, Registry)]
    at_root = [root for root in roots if short in root.module_dict]
    # a codebase's class comes before mmcv's of the same name, which is at the root
    for child in (child for root in at_root or roots for child in root._children.values() if child.scope == scope):
        if short not in child.module_dict:
            with suppress(Exception):
                child.import_from_location()
        if short in child.module_dict:
            return child.module_dict[short]
    return at_root[0].module_dict[short] if at_root else None


def _arguments(kind: type) -> Set[str]:
    return set(inspect.signature(kind.__init__).parameters) - {'self', 'runner', 'dataloader', 'evaluator', 'kwargs'}


# ---------------------------------------------------------------------------------------------------- numbers
_LEAST = {'randomness.seed': 0, 'train_cfg.max_epochs': 1, 'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1,
          'train_cfg.val_begin': 0}
_OF_A_LOADER = {'batch_size': 1, 'num_workers': 0}


def check_numbers(cfg: Config, loaders: Iterable[str]) -> None:
    """Refuse numbers of a run that no run can have.

    Args:
        cfg: The run's config.
        loaders: The data loaders that the run uses.

    Raises:
        ValueError: Names the first of them.
    """
    wanted = {key: least for key, least in _LEAST.items() if 'train_dataloader' in loaders}
    wanted.update({f'{loader}.{name}': least for loader in loaders for name, least in _OF_A_LOADER.items()})
    for key, least in wanted.items():
        *above, last = key.split('.')
        place = cfg.get(above[0])
        value = place.get(last) if isinstance(place, Mapping) else None
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f'{key}={value!r}: expected a whole number, {least} or more.')
    lr = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('lr') if 'train_dataloader' in loaders else None
    if lr is not None and (isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 <= lr < float('inf')):
        raise ValueError(f'optim_wrapper.optimizer.lr={lr!r}: expected a number, 0 or more.')
    level = cfg.get('log_level')
    if level is not None and (not isinstance(level, str) or level.upper() not in logging._nameToLevel):
        raise ValueError(f'log_level={level!r}: expected one of DEBUG, INFO, WARNING, ERROR.')


def check_optimizer(cfg: Config) -> None:
    """Refuse an optimizer that nobody has registered; mmengine says of it that None is not callable.

    Raises:
        ValueError: Names it and the nearest that there is.
    """
    kind = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('type')
    if not isinstance(kind, str):
        return
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'):
        if OPTIMIZERS.get(kind) is None:
            nearest = get_close_matches(kind, sorted(OPTIMIZERS.module_dict), 1, 0.5)
            meant = f' Did you mean {nearest[0]}?' if nearest else ''
            raise ValueError(f'optim_wrapper.optimizer.type={kind!r}: no such optimizer is registered; expected a name such '
                             f'as AdamW or SGD.{meant}')


def check_language_checkpoints(cfg: Config) -> None:
    """Refuse the path of a language model that is not there, where its weights will be read.

    Args:
        cfg: A run's config.

    Raises:
        FileNotFoundError: Names it.
    """
    for key in find_keys(cfg.get('model'), lambda key, value: key == 'language' and isinstance(value, Mapping)):
        language = get_key(cfg, key)
        checkpoint = str(language.get('checkpoint') or '')
        is_path = checkpoint.startswith(('/', './', '../', '~')) or checkpoint.lower().endswith('.gguf')
        reads = ARMS.get(language.get('arm', DEFAULT_ARM), ARMS[DEFAULT_ARM]).reads_weights
        if is_path and reads and not Path(checkpoint).expanduser().exists():
            raise FileNotFoundError(f'{key}.checkpoint: {checkpoint} does not exist. Expected a folder in Hugging Face '
                                    'format, or a GGUF file; correct the path.')


def check_save_best(cfg: Config) -> None:
    """Refuse a ``save_best`` that no metric of the validation is called.

    Raises:
        ValueError: If every evaluator is one whose metrics are known here, and none is of that name.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    wanted = hook.get('save_best') if isinstance(hook, Mapping) else None
    names = _metric_names(cfg.get('val_evaluator'))
    if type_name(cfg.get('val_cfg') or {}) == 'BridgeValLoop':
        names = [f'{split}/{name}' for split in ('train', 'test') for name in names]
    if not wanted or cfg.get('val_dataloader') is None or not names:
        return
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name != 'auto':
            _check_metric('default_hooks.checkpoint.save_best', name, names, 'auto or ')


def check_monitors(cfg: Config) -> None:
    """Refuse what a schedule or an early stop is to watch, and settings of evaluators, that the validation does not have.

    mmengine says so after the first validation, or only warns and never stops.

    Raises:
        ValueError: Names the setting and what there is.
    """
    for where, evaluator in _evaluators(cfg.get('val_evaluator')):
        for key, known in _KNOWN_METRICS.get(type_name(evaluator), {}).items():
            given = evaluator.get(key)
            for name in [given] if isinstance(given, str) else given or []:
                if name not in known:
                    _refuse_metric(f'{where}.{key}', name, sorted(known), 'one of ')
    names = _metric_names(cfg.get('val_evaluator'))
    if not names or cfg.get('val_dataloader') is None or type_name(cfg.get('val_cfg') or {}) == 'BridgeValLoop':
        return
    watching = [(f'{key}.{index}', part) for key in ('param_scheduler', 'custom_hooks')
                for index, part in enumerate(cfg.get(key) or []) if isinstance(part, Mapping)
                and type_name(part) in ('ReduceOnPlateauLR', 'ReduceOnPlateauMomentum', 'ReduceOnPlateauParamScheduler',
                                        'EarlyStoppingHook')]
    for where, part in watching:
        if isinstance(part.get('monitor'), str) and part['monitor'] != 'loss':
            _check_metric(f'{where}.monitor', part['monitor'], names)


_COCO_ITEMS = {'mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l', 'AR@100', 'AR@300', 'AR@1000', 'AR_s@1000',
               'AR_m@1000', 'AR_l@1000'}
_KNOWN_METRICS = {
    'CocoMetric': dict(metric={'bbox', 'segm', 'proposal', 'proposal_fast'}, metric_items=_COCO_ITEMS),
    'IoUMetric': dict(iou_metrics={'mIoU', 'mDice', 'mFscore'}),
}


def _evaluators(config: Any) -> Iterable[Tuple[str, Mapping[str, Any]]]:
    if isinstance(config, Mapping):
        yield 'val_evaluator', config
    elif isinstance(config, (list, tuple)):
        yield from ((f'val_evaluator.{index}', one) for index, one in enumerate(config) if isinstance(one, Mapping))


def _check_metric(where: str, name: str, names: List[str], more: str = '') -> None:
    if name not in names:
        _refuse_metric(where, name, names, f'{more}one of ')


def _refuse_metric(where: str, name: str, names: List[str], expected: str) -> None:
    nearest = get_close_matches(name, names, 1, 0.3)
    meant = f' Did you mean {nearest[0]}?' if nearest else ''
    raise ValueError(f'{where}={name!r}: the validation has no such metric; expected {expected}'
                     f'{", ".join(names[:12])}.{meant}')


def _metric_names(evaluators: Any) -> List[str]:
    """Names of all metrics of a validation; empty where one of its evaluators is not known."""
    names: List[str] = []
    for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
        kind = type_name(evaluator) if isinstance(evaluator, Mapping) else None
        if kind == 'Accuracy':
            if evaluator.get('thrs', 0.) not in (0., [0.], (0., )):  # others go into the names
                return []
            tops = evaluator.get('topk', (1, ))
            tops = [tops] if isinstance(tops, int) else tops
            names += [f'{evaluator.get("prefix") or "accuracy"}/top{top}' for top in tops]
        elif kind == 'CocoMetric':
            kinds = evaluator.get('metric', 'bbox')
            names += [f'{evaluator.get("prefix") or "coco"}/{one}_{part}'
                      for one in ([kinds] if isinstance(kinds, str) else kinds)
                      for part in ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')]
            if evaluator.get('classwise') or 'proposal' in str(kinds) or evaluator.get('metric_items'):
                return []
        elif kind == 'IoUMetric':
            metrics = evaluator.get('iou_metrics', ['mIoU'])
            metrics = [metrics] if isinstance(metrics, str) else metrics
            prefix = f'{evaluator["prefix"]}/' if evaluator.get('prefix') else ''
            parts = dict(mIoU=('IoU', 'Acc'), mDice=('Dice', 'Acc'), mFscore=('Fscore', 'Precision', 'Recall'))
            names += [f'{prefix}aAcc'] + [f'{prefix}m{part}' for metric in metrics for part in parts.get(metric, ())]
        else:
            return []
    return list(dict.fromkeys(names))
