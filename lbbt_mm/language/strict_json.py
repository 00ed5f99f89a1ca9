"""JSON from files of others: bounded in size and depth, and no key twice, of which a plain reader would take the last."""
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

#: A config has some kilobytes, the index of the largest checkpoint some megabytes.
LARGEST_FILE = 64 * 2**20
#: Large vocabularies in old configs have some.
LARGEST_CONFIG = 2**20
_DEEPEST = 64


def read_object(path: Path, most: int = LARGEST_FILE) -> Dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: The file.
        most: So many bytes it may have.

    Returns:
        dict: What it holds.

    Raises:
        ValueError: If it is no such file; the message is a phrase that says why.
        OSError: If it cannot be read.
    """
    size = path.stat().st_size
    if size > most:
        raise ValueError(f'it has {size:,} bytes, more than the {most:,} that such a file may have')
    return parse_object(path.read_bytes())


def parse_object(text: bytes) -> Dict[str, Any]:
    """Parse one JSON object; see :func:`read_object`."""
    try:
        found = json.loads(text.decode('utf-8'), object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError('it is nested too deeply') from None
    if not isinstance(found, dict):
        raise ValueError(f'it holds a {type(found).__name__}')
    _check_depth(found)
    return found


def _check_depth(found: Any) -> None:
    """Whoever walks through it later does so by recursion."""
    level = [found]
    for _ in range(_DEEPEST):
        level = [item for part in level for item in (part.values() if isinstance(part, dict) else part)
                 if isinstance(item, (dict, list))]
        if not level:
            return
    raise ValueError(f'it is nested more than {_DEEPEST} deep')


def _without_repeats(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f'it has the key {repeated[:80]!r} twice')
    return found
