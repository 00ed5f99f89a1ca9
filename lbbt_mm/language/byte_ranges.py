"""Bytes of a tensor in a file: where they may lie, and reading just these."""
import os
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator

import numpy as np
import torch
from torch import Tensor

from .errors import CheckpointError


@contextmanager
def open_unbuffered(path: Path) -> Iterator[BinaryIO]:
    """Open a file so that its bytes are read as asked for, without the system's read-ahead."""
    with open(path, 'rb', buffering=0) as file:
        if hasattr(os, 'posix_fadvise'):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        yield file


def read_range(path: Path, start: int, size: int, name: str) -> Tensor:
    """Read the bytes of one tensor.

    Args:
        path: The file.
        start: First byte.
        size: How many.
        name: The tensor, for the message.

    Returns:
        Tensor: ``(size, )``, ``uint8``.

    Raises:
        CheckpointError: If they are not there (any more).
    """
    return next(read_pieces(path, start, start + size, max(size, 1), name), torch.empty(0, dtype=torch.uint8))


def read_pieces(path: Path, start: int, end: int, size: int, name: str) -> Iterator[Tensor]:
    """Read the bytes of one tensor piece by piece; while one is worked with, the system reads the next.

    Args:
        path: The file.
        start: First byte.
        end: The byte behind the last.
        size: Bytes of a piece; the last may have fewer.
        name: The tensor, for the message.

    Yields:
        Tensor: ``(size, )``, ``uint8``.

    Raises:
        CheckpointError: If they are not there (any more).
    """
    with open_unbuffered(path) as file:
        for first in range(start, end, size):
            wanted, ahead = min(size, end - first), min(size, end - first - size)
            if ahead > 0 and hasattr(os, 'posix_fadvise'):
                os.posix_fadvise(file.fileno(), first + size, ahead, os.POSIX_FADV_WILLNEED)
            file.seek(first)
            data = np.fromfile(file, np.uint8, wanted)
            if len(data) < wanted:
                raise _cut_off(path, name, f'{len(data):,} of its {wanted:,} bytes are there')
            yield torch.from_numpy(data)


def check_length(path: Path, needed: int, name: str) -> None:
    """Refuse to touch a file that became shorter: the system ends a process that reads beyond the end of a mapped one.

    Args:
        path: The file.
        needed: So many bytes have to be there.
        name: The tensor that is to be read, for the message.

    Raises:
        CheckpointError: If there are fewer.
    """
    found = path.stat().st_size
    if found < needed:
        raise _cut_off(path, name, f'{found:,} of the file\'s {needed:,} bytes are there')


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """What to say of a file that the system does not read."""
    return CheckpointError(f'{path}: cannot be read ({error.strerror or error}); expected a file that you may read. Correct '
                           'its permissions, or fetch it again.')


def _cut_off(path: Path, name: str, found: str) -> CheckpointError:
    return CheckpointError(f'{path}: tensor {name!r} is cut off: {found}, and all were when the file was opened. Something '
                           'else writes to it; wait until that has ended, or fetch the file again.')
