"""Finds what our tools set or ask in a config: its ``language`` dict, the initialiser of a probe, what its steps count."""
from pathlib import Path
from typing import Any, Callable, Iterator, List, Sequence

from .registry import type_name


def find_keys(config: Any, wanted: Callable[[str, Any], bool], prefix: str = 'model') -> List[str]:
    """The dotted keys below ``config`` whose last part and value ``wanted`` accepts."""
    return list(_walk(config, wanted, prefix))


def _walk(config: Any, wanted: Callable[[str, Any], bool], prefix: str) -> Iterator[str]:
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, (list, tuple)) else ()
    for key, value in items:
        if wanted(str(key), value):
            yield f'{prefix}.{key}'
        else:
            yield from _walk(value, wanted, f'{prefix}.{key}')


def find_language(model: Any, config: Path) -> str:
    """The key of the one ``language`` dict of a model.

    Raises:
        ValueError: If there is none, or more than one.
    """
    keys = find_keys(model, lambda key, value: key == 'language' and isinstance(value, dict))
    if len(keys) != 1:
        found = ', '.join(keys) or 'none'
        raise ValueError(f'{config}: expected one `language` dict below `model`, found {found}. Give a config whose model '
                         'has language blocks in one place, such as model.backbone.language.')
    return keys[0]


def find_bridge_init(model: Any, probe: Path) -> str:
    """The key of the initialiser by which a probe takes a bridge's backbone.

    Raises:
        ValueError: If there is none, or more than one.
    """
    # wherever it is: an init_cfg may be a list of initialisers
    keys = find_keys(model, lambda key, value: isinstance(value, dict) and type_name(value) == 'BridgeInit')
    if len(keys) != 1:
        found = ', '.join(keys) or 'none'
        raise ValueError(f"{probe}: expected one init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=...) below `model`, "
                         f'found {found}. A probe takes the backbone of a bridge; to compare arms without a bridge, give '
                         'this config as CONFIG instead.')
    return keys[0]


def get_key(cfg: Any, key: str) -> Any:
    """What a dotted key leads to; None if there is nothing."""
    for part in key.split('.'):
        cfg = cfg.get(part) if hasattr(cfg, 'get') else None
    return cfg


def has_key(cfg: Any, key: str) -> bool:
    """Whether a dotted key, with the places in lists as numbers, leads to something, be it None."""
    for part in key.split('.'):
        if isinstance(cfg, (list, tuple)):
            cfg, part = dict(enumerate(cfg)), int(part) if part.isdigit() else None
        if not hasattr(cfg, 'get') or part not in cfg:
            return False
        cfg = cfg[part]
    return True


def validation_unit(cfg: Any) -> str:
    """What the steps of a config's validation records count."""
    by_epoch = get_key(cfg, 'train_cfg.max_epochs') and get_key(cfg, 'default_hooks.logger.log_metric_by_epoch') is not False
    return 'epoch' if by_epoch else 'iteration'


def shared_options(options: Sequence[str], probe: Any) -> List[str]:
    """The overrides of a bridge's config that belong to a probe too.

    Those of ``model.backbone``, which is the bridge's own. Others of the model and its preprocessor, and where the data are,
    only if the probe's config has that very key: the same place of another pipeline or of a dataset without a wrapper is
    another thing.

    Args:
        options: Overrides ``KEY=VALUE``.
        probe: The probe's config.

    Returns:
        list[str]: Some of them, in their order.
    """
    def belongs(key: str) -> bool:
        if key.startswith('model.backbone.'):
            return True
        of_model = key.startswith(('model.', 'data_preprocessor.'))
        return (of_model or key.split('.')[-1] == 'data_root') and has_key(probe, key)

    return [option for option in options if belongs(option.split('=')[0])]
