"""The one walk over a config, and what our tools find by it: its ``language`` dict, a probe's initialiser, what differs."""
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from .registry import type_name


def walk(config: Any, key: str = '') -> Iterator[Tuple[str, Any]]:
    """Every part below a config, each before what is in it.

    Args:
        config: A config, or a part of one.
        key: Its own dotted key.

    Yields:
        tuple: A dotted key as ``--cfg-options`` takes it, places in lists as numbers; and what is there.
    """
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, (list, tuple)) else ()
    for name, part in items:
        place = f'{key}.{name}' if key else str(name)
        yield place, part
        yield from walk(part, place)


def find_types(config: Any, *names: str, key: str = '') -> Iterator[Tuple[str, dict]]:
    """The parts of a config, itself among them, whose ``type`` has one of some names; with their dotted keys."""
    return ((place, part) for place, part in [(key, config), *walk(config, key)]
            if isinstance(part, dict) and type_name(part) in names)


def language_keys(model: Any) -> List[str]:
    """The dotted keys of a model's ``language`` dicts."""
    return [key for key, part in walk(model, 'model') if key.endswith('.language') and isinstance(part, dict)]


def find_language(model: Any, config: Path) -> str:
    """The key of the one ``language`` dict of a model.

    Raises:
        ValueError: If there is none, or more than one.
    """
    return _only(language_keys(model), f'{config}: expected one `language` dict below `model`',
                 'Give a config whose model has language blocks in one place, such as model.backbone.language.')


def find_bridge_init(model: Any, probe: Path) -> str:
    """The key of the initialiser by which a probe takes a bridge's backbone.

    Raises:
        ValueError: If there is none, or more than one.
    """
    # wherever it is: an init_cfg may be a list of initialisers
    return _only([key for key, _ in find_types(model, 'BridgeInit', key='model')],
                 f"{probe}: expected one init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=...) below `model`",
                 'A probe takes the backbone of a bridge; to compare arms without a bridge, give this config as CONFIG '
                 'instead.')


def _only(keys: Sequence[str], expected: str, remedy: str) -> str:
    if len(keys) != 1:
        raise ValueError(f'{expected}, found {", ".join(keys) or "none"}. {remedy}')
    return keys[0]


class _Absent:
    """In place of the value of a key that a config does not have; ``None`` is a value."""

    def __repr__(self) -> str:
        return 'absent'


ABSENT = _Absent()


def get_key(cfg: Any, key: str, default: Any = None) -> Any:
    """What a dotted key, with the places in lists as numbers, leads to; ``default`` if there is nothing."""
    for part in key.split('.'):
        if isinstance(cfg, (list, tuple)):
            cfg, part = dict(enumerate(cfg)), int(part) if part.isdigit() else None
        if not hasattr(cfg, 'get') or part not in cfg:
            return default
        cfg = cfg[part]
    return cfg


def has_key(cfg: Any, key: str) -> bool:
    """Whether a dotted key leads to something, be it None."""
    return get_key(cfg, key, ABSENT) is not ABSENT


def parts_at(cfg: Any, key: str) -> Iterator[Tuple[str, dict]]:
    """The part at a dotted key, or each of a list of them there, with its own key; what is no dict is left out."""
    found = get_key(cfg, key)
    several = isinstance(found, (list, tuple))
    for index, part in enumerate(found if several else [found]):
        if isinstance(part, dict):
            yield f'{key}.{index}' if several else key, part


def differing(one: Any, other: Any, key: str = '', seen_as: Callable = lambda key, *pair: pair) -> Iterator[tuple]:
    """Where two configs differ.

    Args:
        one: A config, or a part of one.
        other: Another.
        key: Their own dotted key.
        seen_as: Called with a key and the two values there, of which either may be :data:`ABSENT`; gives the two that are
            compared.

    Yields:
        tuple: A dotted key and the two values, as they are seen.
    """
    one, other = seen_as(key, one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = ((name, one.get(name, ABSENT), other.get(name, ABSENT)) for name in {**one, **other})
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = ((index, *pair) for index, pair in enumerate(zip(one, other)))
    else:
        if one != other:
            yield key, one, other
        return
    for name, *pair in pairs:
        yield from differing(*pair, f'{key}.{name}' if key else str(name), seen_as)


class Change(NamedTuple):
    """A setting that is asked for now and was another one.

    Attributes:
        key: Its dotted key, places in lists as numbers.
        there: Its value in the checkpoint's config; :data:`ABSENT` where it has none.
        asked: Its value now, likewise.
    """
    key: str
    there: Any
    asked: Any

    def __str__(self) -> str:
        return f'{self.key} is {_short(self.there)} there, {_short(self.asked)} asked'


def is_allowed(changed: str, keys: Sequence[str]) -> bool:
    """Whether a changed key is among those that the user lets through, as itself, a part above it, or its last name."""
    return any(changed == key or changed.startswith(f'{key}.') or changed.split('.')[-1] == key for key in keys)


def refusal(changes: Mapping[str, str], most: int = 5) -> Tuple[str, str]:
    """The first of some changes as one phrase, and the flag that lets these through.

    Args:
        changes: Key -> what has changed, as a phrase.
        most: How many are named.
    """
    more = f' and {len(changes) - most} more' if len(changes) > most else ''
    return '; '.join([*changes.values()][:most]) + more, f'--allow-change {" ".join([*changes][:most])}'


def _short(value: Any, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else f'{text[:length]}...'


def validation_unit(cfg: Any) -> str:
    """What the steps of a config's validation records count."""
    by_epoch = get_key(cfg, 'train_cfg.max_epochs') and get_key(cfg, 'default_hooks.logger.log_metric_by_epoch') is not False
    return 'epoch' if by_epoch else 'iteration'


def shared_options(options: Sequence[str], probe: Any) -> List[str]:
    """The overrides of a bridge's config that belong to a probe too.

    Those of ``model.backbone``, which is the bridge's own. Others of the model and its preprocessor, and where the data are,
    only if the probe's config has that very key: the same place of another pipeline or of a dataset without a wrapper is
    another thing. What is of every part of a type belongs to a probe whose model has that type.

    Args:
        options: Overrides ``KEY=VALUE``.
        probe: The probe's config.

    Returns:
        list[str]: Some of them, in their order.
    """
    def belongs(key: str) -> bool:
        if key.startswith('model.backbone.'):
            return True
        if key[:1].isupper():
            return any(True for _ in find_types(get_key(probe, 'model'), key.split('.')[0]))
        of_model = key.startswith(('model.', 'data_preprocessor.'))
        return (of_model or key.split('.')[-1] == 'data_root') and has_key(probe, key)

    return [option for option in options if belongs(option.split('=')[0])]
