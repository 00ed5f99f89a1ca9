"""What is asked of a training run: its config as it resolves, and how two of them differ."""
import copy
import json
import logging
import re
import threading
from pathlib import Path
from typing import Any, List, Sequence

from mmengine.config import Config

from lbbt_mm.argument_types import Parser
from lbbt_mm.config_keys import ABSENT, differing
from lbbt_mm.files.config_files import read_config_file
from lbbt_mm.launch.config_options import ConfigOptions
from lbbt_mm.launch.quiet_imports import quiet_logs
from lbbt_mm.launch.run_identity import LANGUAGE_DEFAULTS, Change, has_moved
from lbbt_mm.launch.settings import apply_options

_READING = threading.Lock()


def read_config(path: Path) -> Config:
    """Read a config file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is data and has code in it, see :func:`~lbbt_mm.files.config_files.read_config_file`.
    """
    with _READING, quiet_logs(logging.INFO):  # mmengine says which environment variables it fills in, each time
        return read_config_file(path, import_custom_modules=False)  # the training imports them


def override(cfg: Config, options: Sequence[str]) -> Config:
    """A config with overrides, read as ``--cfg-options`` reads them.

    Args:
        cfg: The config; it is not changed.
        options: ``'KEY=VALUE'`` strings.

    Raises:
        ValueError: If a key is nowhere in the config and nothing reads it.
    """
    cfg = copy.deepcopy(cfg)
    if options:
        parser = Parser(prog='--cfg-options', usage='--cfg-options KEY=VALUE')
        parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
        read = parser.parse_args(['--cfg-options', *options]).cfg_options
        apply_options(cfg, read)
    return cfg


def as_json(value: Any) -> Any:
    """A config's contents as JSON would give them back, equal in every process that reads the same config."""
    def name(part: Any) -> str:
        """What stands for something that JSON does not have: a class, a function."""
        return getattr(part, '__qualname__', None) or re.sub(r' at 0x[0-9a-f]+', '', repr(part))

    return json.loads(json.dumps(value, default=name))


def differences(found: Any, asked: Any, key: str = '') -> List[str]:
    """One phrase for each setting that differs; one that is absent is None."""
    return sorted(str(Change(*change)) for change in differing(found, asked, key, _seen_as) if not has_moved(*change))


def _seen_as(key: str, *pair: Any) -> List[Any]:
    if key.rpartition('.')[2] == 'language':
        pair = [{**LANGUAGE_DEFAULTS, **language} if isinstance(language, dict) else language for language in pair]
    return [None if value is ABSENT else value for value in pair]
