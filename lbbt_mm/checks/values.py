"""Values that no run can have: a table of settings, what each has to be, and how that is said."""
import logging
from difflib import get_close_matches
from operator import le
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS

from lbbt_mm.argument_checks import is_number, number, whole_number
from lbbt_mm.config_keys import get_key, language_keys, parts_at
from lbbt_mm.language.arms import ARMS, DEFAULT_ARM
from lbbt_mm.registry import type_name
from .datasets import class_of, find_datasets


class Rule(NamedTuple):
    """What a setting has to be where it is not None.

    Attributes:
        holds: Whether a value is it.
        expected: What it is, for a message.
    """
    holds: Callable[[Any], bool]
    expected: str


def _is_whole(value: Any, least: float) -> bool:
    """A quotient may be one too: configs of mmdet have ``val_interval=82512.0``."""
    return type(value) in (int, float) and value >= least and value % 1 == 0


def _are_pairs(value: Any) -> bool:
    """Whether they are (first epoch or iteration, interval), in ascending order."""
    pairs = [pair for pair in value if isinstance(pair, (list, tuple)) and len(pair) == 2 and _is_whole(pair[0], 0)
             and _is_whole(pair[1], 1)] if isinstance(value, (list, tuple)) else None
    return pairs is not None and len(pairs) == len(value) and pairs == sorted(pairs, key=lambda pair: pair[0])


def _are_places(value: Any) -> bool:
    places = value if isinstance(value, (list, tuple, range)) else [value or None]
    return len(places) > 0 and all(type(place) is int for place in places)


def _are_sides(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(_is_whole(side, 1) for side in value)


def _at_least(least: int) -> Rule:
    return Rule(lambda value: _is_whole(value, least), whole_number(least))


_DICT = Rule(lambda value: not isinstance(value, (str, int, float, list, tuple)), 'a dict')
_OR_NEVER = Rule(lambda value: _is_whole(value, 1) or value == -1, f'{whole_number(1)}, or -1 for none')
_ANY_RUN = {
    'model': _DICT,
    'default_hooks': _DICT,
    'log_level': Rule(lambda value: isinstance(value, str) and value.upper() in logging._nameToLevel,
                      'one of DEBUG, INFO, WARNING, ERROR'),
}
_TRAINING = {
    **dict.fromkeys(('train_cfg', 'optim_wrapper', 'optim_wrapper.optimizer'), _DICT),
    **dict.fromkeys(('randomness.seed', 'train_cfg.val_begin'), _at_least(0)),
    **dict.fromkeys(('train_cfg.max_epochs', 'train_cfg.max_iters', 'train_cfg.val_interval',
                     'default_hooks.logger.interval'), _at_least(1)),
    **dict.fromkeys(('default_hooks.checkpoint.interval', 'default_hooks.checkpoint.max_keep_ckpts'), _OR_NEVER),
    'train_cfg.dynamic_intervals': Rule(_are_pairs, 'pairs of the epoch or iteration from which it holds and the interval, '
                                                    'in ascending order, such as [(10, 1)]'),
    'optim_wrapper.optimizer.lr': Rule(lambda value: is_number(value, least=0), number(least=0)),
}
_LOADER = {'batch_size': _at_least(1), 'num_workers': _at_least(0)}
_INDICES = Rule(_are_places, 'a number of samples other than 0, or a list of places, one at least')
#: Of a segmentor, whole or slide; of one that slides, the window
_MODE = Rule(lambda value: value in ('whole', 'slide'), "'whole' or 'slide'")
_WINDOW = Rule(_are_sides, "two numbers of pixels, (height, width), which mode='slide' needs")


def check_values(cfg: Config, loaders: Sequence[str]) -> None:
    """Refuse values that no run can have.

    Args:
        cfg: The run's config.
        loaders: The data loaders that the run uses.

    Raises:
        ValueError: Names the first of them, what it is, and what was expected.
    """
    for key, value, rule in _rules(cfg, loaders):
        if not rule.holds(value):
            raise ValueError(f'{key}={value!r}: expected {rule.expected}. Correct it in the config or in --cfg-options.')
    if 'train_dataloader' in loaders:
        _check_optimizer(cfg)


def _rules(cfg: Config, loaders: Sequence[str]) -> Iterator[Tuple[str, Any, Rule]]:
    rules: Dict[str, Rule] = {**_ANY_RUN, **{name: _DICT for name in loaders}}
    rules.update(_TRAINING if 'train_dataloader' in loaders else {'test_cfg': _DICT})
    rules.update({f'{loader}.{name}': rule for loader in loaders for name, rule in _LOADER.items()})
    rules.update({f'{found.where}.indices': _INDICES for found in find_datasets(cfg, loaders)})
    yield from ((key, get_key(cfg, key), rule) for key, rule in rules.items() if get_key(cfg, key) is not None)
    if 'train_dataloader' in loaders:
        yield from _schedules(cfg)
    for model in ('model', 'model.module'):
        test = get_key(cfg, f'{model}.test_cfg')
        has_heads = any(parts_at(cfg, f'{model}.decode_head'))
        if not has_heads or not isinstance(test, Mapping) or type_name(get_key(cfg, model)) == 'DepthEstimator':
            continue  # which has a mode of its own
        yield f'{model}.test_cfg.mode', test.get('mode', 'whole'), _MODE
        if test.get('mode') == 'slide':
            window, stride = test.get('crop_size'), test.get('stride')
            yield f'{model}.test_cfg.crop_size', window, _WINDOW
            yield f'{model}.test_cfg.stride', stride, Rule(
                lambda value, window=window: _are_sides(value) and all(map(le, value, window)),
                f'{_WINDOW.expected}, no more than crop_size={window!r}, or pixels between two windows have no prediction')


def _schedules(cfg: Config) -> Iterator[Tuple[str, Any, Rule]]:
    """A schedule that ends with the training has to begin before it, for which shorter trainings may leave no room."""
    for place, schedule in parts_at(cfg, 'param_scheduler'):
        length = 'train_cfg.max_epochs' if schedule.get('by_epoch', True) else 'train_cfg.max_iters'
        begin, end = schedule.get('begin', 0), get_key(cfg, length)
        if isinstance(begin, int) and _is_whole(end, 1) and schedule.get('end') is None:
            yield f'{place}.begin', begin, Rule(
                lambda value, end=end: value < end, f'less than {length}={end}, with which this schedule ends')


def _check_optimizer(cfg: Config) -> None:
    """An optimizer that nobody has registered, of which mmengine says that None is not callable."""
    kind = get_key(cfg, 'optim_wrapper.optimizer.type')
    if not isinstance(kind, str) or kind in OPTIMIZERS.module_dict:  # torch's, for which no codebase is imported
        return
    if class_of(kind, cfg.get('default_scope'), OPTIMIZERS) is None:
        raise ValueError(f'optim_wrapper.optimizer.type={kind!r}: no such optimizer is registered; expected a name such as '
                         f'AdamW or SGD.{did_you_mean(kind, sorted(OPTIMIZERS.module_dict), 0.5)}')


def did_you_mean(name: str, known: Sequence[str], alike: float) -> str:
    """The end of a message: the nearest of some names, if one is near."""
    nearest = get_close_matches(name, known, 1, alike)
    return f' Did you mean {nearest[0]}?' if nearest else ''


def check_language_checkpoints(cfg: Config) -> None:
    """Refuse the path of a language model that is not there, where its weights will be read.

    Args:
        cfg: A run's config.

    Raises:
        FileNotFoundError: Names it.
    """
    for key in language_keys(cfg.get('model')):
        language = get_key(cfg, key)
        checkpoint = str(language.get('checkpoint') or '')
        is_path = checkpoint.startswith(('/', './', '../', '~')) or checkpoint.lower().endswith('.gguf')
        reads = ARMS.get(language.get('arm', DEFAULT_ARM), ARMS[DEFAULT_ARM]).reads_weights
        if is_path and reads and not Path(checkpoint).expanduser().exists():
            raise FileNotFoundError(f'{key}.checkpoint: {checkpoint} does not exist. Expected a folder in Hugging Face '
                                    'format, or a GGUF file; correct the path.')
