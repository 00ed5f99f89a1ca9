"""A run's own config file, which mmengine would overwrite: refused before the run starts."""
import ast
import io
import os
import tokenize
from pathlib import Path
from typing import Any

import yaml

from lbbt_mm.mmengine_internals import forget_file_name

#: What every config says that a run has dumped.
_DUMPED_KEYS = {'launcher', 'work_dir'}
_LARGEST_CONFIG = 1 << 24


def refuse_overwriting_config(config_path: Any, work_dir: Any) -> None:
    """Refuse a work directory where the run would dump its resolved config over a file that no run has dumped.

    mmengine dumps it under the config's own name, so ``--work-dir`` with the folder of the config replaces the config.

    Args:
        config_path: The config file that is run.
        work_dir: The run's work directory.

    Raises:
        ValueError: If that file is there and was not dumped by a run, be it the config itself or another one.
    """
    target = Path(work_dir) / Path(config_path).name
    if not os.path.lexists(target) or is_dumped_config(target):
        return
    which = 'is the config itself' if target.exists() and target.samefile(config_path) else 'was not written by a run'
    raise ValueError(f'{target} {which}, and the run would overwrite it: it writes its resolved config there, under the '
                     'same name. Choose another --work-dir, or move that file away.')


def refuse_overwriting_output(out: Any, show_dir: Any) -> None:
    """Refuse to write predictions over a file, or pictures of them among other files.

    Args:
        out: File for the predictions, or None.
        show_dir: Folder for the pictures, or None; one with a relative path lies below a new folder in most codebases.

    Raises:
        ValueError: If the file is there, or the folder holds something, or they cannot be made.
    """
    refuse_overwriting_file('--out', out)
    if show_dir:
        refuse_closed_folder(f'--show-dir {show_dir}', Path(show_dir).absolute().parent)
    if show_dir and os.path.lexists(show_dir) and not (os.path.isdir(show_dir) and not os.listdir(show_dir)):
        raise ValueError(f'--show-dir {show_dir}: holds files already, and those with the names of the images would be '
                         'overwritten. Give a folder that is empty or absent.')


def refuse_overwriting_file(name: str, path: Any) -> None:
    """Refuse to write a file over one that is there, or where nothing can be written.

    Args:
        name: The option that gives it, for messages.
        path: The file, or None.

    Raises:
        ValueError: If the file is there, or cannot be made.
    """
    if path:
        refuse_closed_folder(f'{name} {path}', Path(path).absolute().parent)
    if path and os.path.lexists(path):
        raise ValueError(f'{name} {path}: is there already, and would be overwritten. Remove it, or give another name.')


def refuse_closed_folder(given: str, folder: Any) -> None:
    """Refuse a folder that is there and cannot be written to, or that cannot be made.

    Args:
        given: What the user gave, for messages: an option and its value.
        folder: The folder.

    Raises:
        ValueError: If it is such a one.
    """
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise ValueError(f'{given}: {there} is no folder that can be written to. Give another path.')


def keep_training_config(cfg: Any) -> None:
    """Have a test in the folder of a training dump its config under another name than the training's.

    Args:
        cfg: The test's config, with its ``work_dir``.
    """
    if (Path(cfg.work_dir) / 'last_checkpoint').exists():
        forget_file_name(cfg)


def is_dumped_config(path: Path) -> bool:
    """Whether a file is a config as mmengine dumps it when a run starts. It is read, never run.

    Such a file has ``launcher`` and ``work_dir`` among its names, no comment, and in Python nothing but assignments, whose
    names ascend.

    Args:
        path: The file.
    """
    path = Path(path)
    try:
        if path.suffix not in ('.py', '.json', '.yaml', '.yml') or path.is_symlink() or not path.is_file() \
                or path.stat().st_size > _LARGEST_CONFIG:
            return False
        text = path.read_text(encoding='utf-8')
        return _is_dumped_python(text) if path.suffix == '.py' else _is_dumped_data(text)
    except (OSError, ValueError, SyntaxError, tokenize.TokenError, yaml.YAMLError, RecursionError, MemoryError):
        return False


def _is_dumped_python(text: str) -> bool:
    names = []
    for statement in ast.parse(text).body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not isinstance(target, ast.Name):
            return False
        names.append(target.id)
    if names != sorted(set(names)) or not _DUMPED_KEYS <= set(names):
        return False
    return all(token.type != tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(text).readline))


def _is_dumped_data(text: str) -> bool:
    from .plain_files import PlainYamlLoader  # not for --help
    content = yaml.load(text, PlainYamlLoader)  # JSON is YAML
    return isinstance(content, dict) and _DUMPED_KEYS <= set(content) and not any(
        line.lstrip().startswith('#') for line in text.splitlines())
