"""A data set's folder: written whole or not at all, and never over what somebody else put there.

``recipe.json`` marks a data set that is finished: which converter made it, from what. It is written last. Until then the
folder has another name, ``NAME.partial``, and in it from the first moment ``.unfinished``, which says the same and which the
writer holds locked: what a killed writer left can be told from what another one writes, and from what is not ours.
"""
import argparse
import fcntl
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

import numpy as np

from lbbt_mm import argument_types

FINISHED, UNFINISHED = 'recipe.json', '.unfinished'
_MADE_BY = 'made_by'
_PACKAGE = 'lbbt_mm '


def write_once(out: Path, converter: str, recipe: Mapping[str, Any], write: Callable[[Path], None]) -> Path:
    """Write a data set whole or not at all, unless it is there already, which is printed.

    Args:
        out: Folder of the data set; absent or empty, or one that holds this very data set.
        converter: Name of the converter.
        recipe: What it is made from, as JSON can hold it.
        write: Writes the data set into the folder that it is given.

    Returns:
        Path: ``out``, absolute.

    Raises:
        FileExistsError: If ``out`` holds something else, or what is written beside it first does, or another process is
            writing it. Nothing is touched then.
    """
    mark = json.loads(json.dumps({_MADE_BY: f'{_PACKAGE}{converter}', **recipe}))
    out = _resolved(out)
    if _holds(out, mark):
        _forget_unfinished(out)
        print(f'{out} holds this data set already: kept')
        return out
    partial, renamed = out.with_name(f'{out.name}.partial'), False
    with _alone(partial, mark):
        try:
            if not _holds(out, mark):  # as it would if another process has finished it just now
                write(partial)
                (partial / FINISHED).write_text(json.dumps(mark))
                os.rename(partial, out)  # fails where somebody has put files there meanwhile
                renamed = True
        finally:
            if renamed:
                _forget_unfinished(out)
            else:
                _empty(partial)
                _forget_unfinished(partial)
                partial.rmdir()
    return out


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a picture, or say why not: ``cv2.imwrite`` returns False where the disk is full, and goes on.

    Args:
        path: Where to; its suffix is the format.
        image: Grey ``(H, W)`` or BGR ``(H, W, 3)``, uint8.

    Raises:
        OSError: If it cannot be written.
    """
    import cv2  # not for --help
    packed, data = cv2.imencode(path.suffix, image)
    if not packed:
        raise OSError(f'{path}: OpenCV cannot make a {path.suffix} file of an image of shape {image.shape}.')
    path.write_bytes(data.tobytes())


def converter_parser(description: str, **sources: str) -> argument_types.Parser:
    """The command line of a converter.

    Args:
        description: What it makes.
        **sources: Name of each folder that it reads -> what that is.
    """
    parser = argument_types.Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    folders = dict(sources, out='folder to write; absent or empty, or one that holds this data set')
    for name, what in folders.items():
        parser.add_argument(name, type=Path, help=what)
    return parser


def _resolved(out: Path) -> Path:
    """The folder itself, where ``out`` is a link to it."""
    out = Path(out).expanduser()
    if out.is_symlink() and not out.exists():
        raise FileExistsError(f'{out} is a link to something that does not exist. Give another folder, or remove the link.')
    return out.resolve()


def _holds(out: Path, mark: Mapping[str, Any]) -> bool:
    """Whether the data set is there; False where nothing is, and an error where something else is."""
    if not os.path.lexists(out):
        return False
    if not out.is_dir():
        raise FileExistsError(f'{out} is not a folder. Give another one for the data set, or remove this file yourself.')
    found = _read_mark(out / FINISHED)
    if found == mark:
        return True
    if found:
        differences = [f'{key} is {found.get(key)!r} there, {mark.get(key)!r} asked'
                       for key in dict.fromkeys([*found, *mark]) if found.get(key) != mark.get(key)]
        raise FileExistsError(f'{out} holds another data set of ours: {"; ".join(differences[:3])}. Nothing was touched: '
                              'give another folder, or remove this one yourself.')
    if any(out.iterdir()):
        raise FileExistsError(f'{out} exists and is not an empty folder, and it holds no data set of ours. Nothing was '
                              'touched: give another folder, or remove this one yourself.')
    return False


def _read_mark(path: Path) -> Optional[Dict[str, Any]]:
    """What a mark of ours says; None for an absent file, and for one of another origin."""
    try:
        found = json.loads(path.read_text()) if path.is_file() and not path.is_symlink() else None
    except (ValueError, RecursionError):
        return None
    ours = isinstance(found, dict) and str(found.get(_MADE_BY)).startswith(_PACKAGE)
    return found if ours else None


@contextmanager
def _alone(partial: Path, mark: Mapping[str, Any]) -> Iterator[None]:
    """Make the folder that is written first, or take one that a killed writer left; no other process does meanwhile."""
    if partial.is_symlink() or partial.exists() and not partial.is_dir():
        raise _not_ours(partial)
    partial.mkdir(parents=True, exist_ok=True)
    if any(partial.iterdir()) and not (partial / UNFINISHED).is_file():
        raise _not_ours(partial)
    # an empty mark is that of a writer which was killed at its very beginning, or has just begun
    descriptor = os.open(partial / UNFINISHED, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, 'r+') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(partial) from None
        if not _is_open(file.fileno(), partial / UNFINISHED):
            raise _busy(partial)
        only_mark = len(os.listdir(partial)) == 1 and os.path.getsize(partial / UNFINISHED) == 0
        if not only_mark and _read_mark(partial / UNFINISHED) is None:
            raise _not_ours(partial)
        _empty(partial)  # while the mark says that it is ours
        file.truncate()
        file.write(json.dumps(mark))
        file.flush()
        yield


def _is_open(descriptor: int, path: Path) -> bool:
    """Whether the file that is open is the one at that path, and not one that was removed since."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _empty(partial: Path) -> None:
    """Remove what is in a partial folder of ours, but for its mark."""
    for path in partial.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != UNFINISHED:
            path.unlink()


def _forget_unfinished(folder: Path) -> None:
    """Remove the mark of a folder that is being written, if it is there."""
    if _read_mark(folder / UNFINISHED):
        (folder / UNFINISHED).unlink(missing_ok=True)


def _not_ours(partial: Path) -> FileExistsError:
    return FileExistsError(f'{partial}, where the data set is written first, is there and not ours. Nothing was touched: '
                           'give another folder, or remove this one yourself.')


def _busy(partial: Path) -> FileExistsError:
    return FileExistsError(f'{partial}: another process is writing a data set there. Wait until it has ended, then run the '
                           'command again.')
