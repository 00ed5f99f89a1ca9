"""Configs in YAML and JSON are data: they name registered parts and their settings, and no code.

mmengine accepts any importable function as a ``type`` to build, and codebases evaluate some settings as Python.
Only the names in a config are checked. This is no sandbox: the named parts can do all that they are written to do.
"""
import importlib.util
import logging
import re
from pathlib import Path
from typing import Any, Callable, Iterator

import mmengine.registry
from mmengine.logging import print_log
from mmengine.registry import Registry
from mmengine.registry import registry as registry_module
from mmengine.utils import get_object_from_string

from lbbt_mm import config_path
from lbbt_mm.config_keys import walk

#: How such a config's name ends.
DATA_SUFFIXES = ('.yaml', '.yml', '.json')
_PACKAGES = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mmseg', 'lbbt_mm')
# What codebases evaluate: torch.DTYPE in mmpretrain's transforms, cv2.MODE in mmdet's tracking, the `type` of mmcv's NMS,
# and those of mmcv's receptive-field search below them
_EVALUATED = ('dtype', 'warp_mode', 'type', 'ops', 'search_op')
_NAME = r'[\w./:-]*'  # no call, no quote, no bracket
#: What names a class by its module, or a package whose registries are imported when a name is looked up.
_IMPORTED = ('type', 'constructor', 'runner_type', 'default_scope', '_scope_')


def check_data(cfg: Any, where: str) -> None:
    """Refuse settings that a codebase would run.

    Args:
        cfg: What the config says.
        where: The config file.

    Raises:
        ValueError: If there is one.
    """
    for place, value in walk(cfg):
        key = place.rpartition('.')[2]
        names = [name for name in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(name, str)]
        odd = next((name for name in names if key in _EVALUATED and not re.fullmatch(_NAME, name)), None)
        if odd is not None:
            raise ValueError(f'{where}: {key}={odd!r} would be run as code; expected a name.')
        imported = [name for name in names if key in _IMPORTED and ('.' in name or key.endswith(('scope', '_')))]
        outside = next((name for name in imported if name.split('.')[0] not in (*_PACKAGES, 'torch')), None)
        if outside:
            raise ValueError(f'{where}: {key}={outside!r} would be imported, which runs it; a config in YAML or JSON '
                             f'names parts of {", ".join(_PACKAGES)} only. Write it as a .py config, which is code.')
        if key == 'custom_imports' and value:
            modules = value.get('imports', []) if isinstance(value, dict) else [value]
            odd = next((name for name in ([modules] if isinstance(modules, str) else modules)
                        if str(name).split('.')[0] not in _PACKAGES), None)
            if odd is not None:
                raise ValueError(f'{where}: custom_imports names {odd!r}, which is run as code when it is imported; a '
                                 f'config in YAML or JSON may import {", ".join(_PACKAGES)} only. Write it as a .py '
                                 'config, which is code.')
        if key == 'trust_remote_code' and value:
            raise ValueError(f'{where}: trust_remote_code={value!r} runs code from the hub. Only a .py config may say so.')


def is_trusted_code(path: Any) -> bool:
    """Whether a ``.py`` config is one of this package's, or lies in an installed codebase."""
    places = [Path(config_path('.')).resolve()]
    for spec in map(importlib.util.find_spec, _PACKAGES):
        places += [Path(place).resolve() for place in (spec.submodule_search_locations if spec else None) or ()]
    return any(place in Path(path).resolve().parents for place in places)


def build_registered_parts_only(only: bool) -> None:
    """Have mmengine build by full name (``package.module.Part``) only what is registered, or again anything.

    Args:
        only: True for a config that is data.
    """
    registry_module.get_object_from_string = _find_registered if only else get_object_from_string


def _find_registered(name: str) -> Any:
    if name.split('.')[0] in (*_PACKAGES, 'torch'):  # what else may be imported is unknown
        found = get_object_from_string(name)
        if found is None or any(found is part for part in _registered()):
            return found
    print_log(f'{name!r} is not built: a config in YAML or JSON names registered parts only. Write it as a .py config, '
              'which is code.', logger='current', level=logging.ERROR)
    return None


def _registered() -> Iterator[Callable]:
    pending = [part for part in vars(mmengine.registry).values() if isinstance(part, Registry)]
    while pending:
        registry = pending.pop()
        pending.extend(registry.children.values())
        yield from registry.module_dict.values()
