"""Finds where a config has what our tools set: its ``language`` dict, the initialiser of a probe."""
from pathlib import Path
from typing import Any, Callable, Iterator, List, Sequence


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
    keys = find_keys(model, lambda key, value: key == 'init_cfg' and isinstance(value, dict)
                     and str(value.get('type')).split('.')[-1] == 'BridgeInit')
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


def shared_options(options: Sequence[str]) -> List[str]:
    """The overrides of a bridge's config that belong to its probes too: those of the model, and where the data are.

    Args:
        options: Overrides ``KEY=VALUE``.

    Returns:
        list[str]: Some of them, in their order.
    """
    keys = {option: option.split('=')[0].split('.') for option in options}
    return [option for option, key in keys.items() if key[0] == 'model' or key[-1] == 'data_root']
