"""The one way in for config files: one in ``.py`` is code and trusted, what is filled into it is not; others are data."""
import os
import re
import threading
from pathlib import Path
from typing import Any, ContextManager, Dict, List
from unittest import mock

from mmengine.config import Config

from lbbt_mm.mmengine_internals import ConfigSteps, config_steps, replaced_config_steps
from .config_paths import refuse_absent_config
from .config_values import check_values
from .data_configs import DATA_SUFFIXES, build_registered_parts_only, check_data, is_trusted_code
from .plain_files import NotPlainError, guard_file_readers

# mmengine's places for environment variables and for parts of the config's own path
_ENVIRONMENT = re.compile(r'\{\{[\'\"]?\s*\$(\w+)\s*\:\s*(\S*?)\s*[\'\"]?\}\}')
_PLACES = ('fileDirname', 'fileBasename', 'fileBasenameNoExtension', 'fileExtname')
_READING = threading.Lock()


def read_config_file(path: Any, **options: Any) -> Config:
    """Read a config file.

    From then on mmengine's readers of YAML and pickles take plain data only, and after a config that is data it builds
    registered parts only.

    Args:
        path: The file: ``.py``, which is run, or ``.yaml``, ``.yml`` or ``.json``, which is data.
        **options: As of ``Config.fromfile``.

    Returns:
        Config: What it says, with its bases.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If an environment variable or a folder's name would be run as code, or a config that is data has or
            inherits some.
    """
    refuse_absent_config(path)
    guard_file_readers()
    with _READING:
        reading = _Reading()
        with reading.checked():
            try:
                cfg = Config.fromfile(str(path), **options)
            except (Exception, SystemExit) as error:  # what Python and mmengine raise over a config may not name it
                file = reading.broken or os.path.abspath(path)
                if file in str(error) and isinstance(error, ValueError):
                    raise
                found = ('a part of it holds itself, or is nested too deeply' if isinstance(error, RecursionError) else
                         f'{type(error).__name__}: {error}')
                raise ValueError(f'{file}: cannot be read as a config ({found}). Correct it, or the _base_ that leads to '
                                 'it.') from error
        build_registered_parts_only(reading.has_data)
    return cfg


class _Reading:
    """Looks at each file of a config before mmengine fills it in and runs it."""

    def __init__(self) -> None:
        self.has_data = False
        self.broken = ''  # the file in which reading ended
        self._files: List[str] = []
        self._originals = config_steps()

    def checked(self) -> ContextManager:
        """Take the place of mmengine's own steps meanwhile."""
        return replaced_config_steps(ConfigSteps(self._fill_places, self._fill_environment, self._read))

    def _fill_places(self, filename: str, temporary: str) -> None:
        own = Path(filename)
        values = zip(_PLACES, (str(own.parent), own.name, own.stem, own.suffix))
        fillers = [(re.compile(rf'\{{\{{\s*{name}\s*\}}\}}'), lambda match, value=value: value) for name, value in values]
        check_values(own.read_text(encoding='utf-8'), fillers, filename, 'the path of this file')
        self._originals.fill_places(filename, temporary)

    def _fill_environment(self, filename: str, temporary: str) -> Dict[str, str]:
        text = Path(filename).read_text(encoding='utf-8')
        in_code = check_values(text, [(_ENVIRONMENT, lambda match: os.environ.get(match[1]))], self._files[-1],
                               'the value of an environment variable', escaped=True)
        if not self._files[-1].endswith('.py'):
            return self._originals.fill_environment(filename, temporary)
        names = {match[1] for match in _ENVIRONMENT.finditer(text) if match[0] not in in_code}
        with mock.patch.dict(os.environ, {name: re.sub(r'([\'"])', r'\\\1', os.environ[name])
                                          for name in names & os.environ.keys()}):
            return self._originals.fill_environment(filename, temporary)

    def _read(self, filename: str, *arguments: Any, **options: Any) -> Any:
        filename = os.path.abspath(os.path.expanduser(filename))
        heir = next((file for file in self._files if file.endswith(DATA_SUFFIXES)), None)
        if heir and filename.endswith('.py') and not is_trusted_code(filename):
            raise ValueError(f'{heir}: inherits {filename}, which is code, and a {Path(heir).suffix} config is data. '
                             'Inherit configs of installed packages (package::path), or write it as a .py config.')
        is_data = filename.endswith(DATA_SUFFIXES)
        self.has_data |= is_data
        self._files.append(filename)
        try:
            found = self._originals.read(filename, *arguments, **options)
            if is_data:
                check_data(found[0], filename)
            return found
        except NotPlainError as error:
            self.broken = filename
            raise ValueError(f'{filename}: {error.found}. {error.remedy}') from None
        except (Exception, SystemExit):
            self.broken = self.broken or filename
            raise
        finally:
            self._files.pop()
