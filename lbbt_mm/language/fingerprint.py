"""Whether a language checkpoint on this machine is still the one it was: a hash of what its files hold, read in part."""
import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Optional, Tuple

#: What a checkpoint is read from, by the ends of names.
_READ = ('.safetensors', '.bin', '.gguf', '.json')
#: So many pieces of a file are read, evenly spaced, of so many bytes each.
_PIECES, _PIECE = 16, 1 << 16


def fingerprint(checkpoint: object) -> Optional[str]:
    """A hash of a language checkpoint's files: their names, sizes, and evenly spaced pieces of what they hold.

    It takes milliseconds, whatever their size. Weights that were trained further or scaled differ in every piece; a change
    of a few numbers in a large file may lie between two pieces.

    Args:
        checkpoint: A file, or a folder of files.

    Returns:
        str | None: 16 hexadecimal digits; None for what is not on this machine (a hub's name), or is not there.
    """
    path = Path(os.path.expanduser(str(checkpoint)))
    files = [path] if path.is_file() else sorted(file for file in path.glob('*') if file.name.lower().endswith(_READ))
    digest = hashlib.sha256()
    for file in files:
        found = file.stat()
        name = '' if file == path else file.name  # a file may be moved
        digest.update(repr((name, found.st_size, _pieces(str(file), found.st_size, found.st_mtime_ns))).encode())
    return digest.hexdigest()[:16] if files else None


@lru_cache(maxsize=256)
def _pieces(path: str, size: int, changed: int) -> Tuple[str, ...]:
    with open(path, 'rb') as file:
        if size <= _PIECES * _PIECE:
            return (hashlib.sha256(file.read()).hexdigest(), )
        hashes = []
        for index in range(_PIECES):
            file.seek((size - _PIECE) * index // (_PIECES - 1))
            hashes.append(hashlib.sha256(file.read(_PIECE)).hexdigest())
        return tuple(hashes)
