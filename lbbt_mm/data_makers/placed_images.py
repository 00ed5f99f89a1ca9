"""Images that are put into the folder of a data set, and what tells one set of them from another."""
import hashlib
import os
import shutil
from pathlib import Path
from typing import Iterable, Tuple


def place_image(image: Path, target: Path, copy: bool) -> None:
    """Copy an image, or link it, which takes no space.

    Args:
        image: The image, or a link to it.
        target: Where it goes.
        copy: Whether to copy it; otherwise it is a hard link.

    Raises:
        OSError: If it cannot be linked, as to another file system.
    """
    if copy:
        shutil.copyfile(image, target)
        return
    try:
        os.link(os.path.realpath(image), target)
    except OSError as error:
        raise OSError(f'{image} cannot be linked to {target} ({error.strerror}). Give a target on the same file system, or '
                      'add --copy.') from error


def fingerprint(placed: Iterable[Tuple[str, int]]) -> str:
    """What tells one set of images from another, wherever it comes from.

    Args:
        placed: Path of each image in the data set, and its size in bytes.

    Returns:
        str: 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path, size in placed:
        digest.update(f'{path}\0{size}\n'.encode(errors='surrogateescape'))
    return digest.hexdigest()
