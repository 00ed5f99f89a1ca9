"""Names of files that come out of other files: they have to stay in the folder where the other one lies."""
import re
from pathlib import Path
from typing import Any


def check_file_name(name: Any) -> str:
    """Refuse a file name that leads out of its folder, on any system.

    Args:
        name: What was found, of whatever type.

    Returns:
        str: The name, relative and with forward slashes.

    Raises:
        ValueError: If it is no such name; the message says what is wrong with it.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f'{name!r} is no file name')
    if name.startswith(('/', '~')) or re.search(r'[\\:\x00-\x1f]', name):
        raise ValueError(f'{name!r} is not a plain relative name')
    if any(part in ('', '.', '..') for part in name.split('/')):
        raise ValueError(f'{name!r} leads out of the folder, or goes round about')
    if any(len(part.encode('utf-8', 'replace')) > 255 for part in name.split('/')) or len(name) > 1024:
        raise ValueError(f'{name[:40]!r}... is longer than file names are')
    return name


def check_within(folder: Path, name: str) -> None:
    """Refuse a file of a folder that is a link to somewhere else.

    In the hub's cache the files of ``snapshots/COMMIT`` are links to the ``blobs`` beside; these are followed.

    Args:
        folder: The folder.
        name: A file in it, as :func:`check_file_name` returned it. It need not be there.

    Raises:
        ValueError: If the file is there, and lies elsewhere.
    """
    try:
        inside, target = folder.resolve(), (folder / name).resolve()
    except (OSError, RuntimeError):  # a circle of links
        raise ValueError(f'{name!r} is a link that leads nowhere') from None
    places = [inside]
    if inside.parent.name == 'snapshots':  # the folder itself may be a link to it
        places.append(inside.parent.parent / 'blobs')
    if not any(place in target.parents for place in places):
        raise ValueError(f'{name!r} is a link out of the folder, to {target}')
