"""Names of classes and templates that the package clip-benchmark carries, read without importing it."""
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Optional

#: How a source in this package begins: ``clip-benchmark:DATASET`` or ``clip-benchmark:DATASET:LANGUAGE``.
SCHEME = 'clip-benchmark:'
#: In which of its files, below a language, and what a list there is of.
CLASSES, TEMPLATES = 'classnames', 'zeroshot_classification_templates'


def read_list(source: str, kind: str) -> List[str]:
    """A list of the package.

    Args:
        source: ``clip-benchmark:DATASET`` or ``clip-benchmark:DATASET:LANGUAGE``, as the package calls them:
            ``imagenet1k``, ``cifar10``; ``en`` (default), ``cn``, ``ar``, ``it``, ``jp``.
        kind: :data:`CLASSES` or :data:`TEMPLATES`.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If it has no such list.
    """
    dataset, _, language = source[len(SCHEME):].partition(':')
    folder, language = _folder(), language or 'en'
    files = {path.name.split('_', 1)[0]: path for path in sorted(folder.glob(f'*_{kind}.json'))}
    if language not in files:
        raise ValueError(f'{source}: the package has no language {language!r:.40}; expected one of {", ".join(files)}.')
    lists = {name: found for name, found in _read(files[language]).items() if isinstance(found, list)}
    if dataset not in lists:
        raise ValueError(f'{source}: the package has no {kind} of {dataset!r:.40} in {language}; expected one of '
                         f'{", ".join(lists)}.')
    return [str(entry) for entry in lists[dataset]]


def _folder() -> Path:
    found: Optional[Any] = find_spec('clip_benchmark')  # which imports nothing
    folders = [Path(folder, 'datasets') for folder in (found.submodule_search_locations if found else ()) or ()]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise ImportError('The package clip-benchmark, which has names of classes and templates, is not installed. Install '
                          'it without what it asks for (pip install --no-deps clip-benchmark), or give a file.')
    return folder


def _read(path: Path) -> Dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: cannot be read as JSON ({error!s:.80}). Install clip-benchmark again.') from None
    return found if isinstance(found, dict) else {}
