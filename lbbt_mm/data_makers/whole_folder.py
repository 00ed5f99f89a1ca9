"""A data set's folder: written whole or not at all, and never over what somebody else put there.

``recipe.json`` marks a data set that is finished: which converter made it, from what. Until then the folder has another
name, ``NAME.lbbt_mm.partial``, and its ``recipe.json`` says that it is unfinished and is held locked by the writer: what a
killed writer left can be told from what another one writes, and from a folder of somebody else.
"""
import argparse
import fcntl
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterator, Mapping, Optional

import numpy as np

from lbbt_mm import argument_types

MARK = 'recipe.json'
_MADE_BY = 'made_by'
_PACKAGE = 'lbbt_mm '
_UNFINISHED = 'lbbt_mm writes a data set here\n'


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
        FileExistsError: If ``out`` holds something else, or another process is writing it. Nothing is touched then.
    """
    mark = json.loads(json.dumps({_MADE_BY: f'{_PACKAGE}{converter}', **recipe}))
    out = _resolved(out)
    if _holds(out, mark):
        print(f'{out} holds this data set already: kept')
        return out
    partial = out.with_name(f'{out.name}.lbbt_mm.partial')
    with _alone(partial, mark) as file:
        if not _holds(out, mark):  # as it would if another process has finished it just now
            write(partial)
            file.seek(0)
            json.dump(mark, file)
            file.truncate()  # what is behind it; and it writes the buffer
            os.rename(partial, out)  # fails where somebody has put files there meanwhile
    return out


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a picture, or say why not: ``cv2.imwrite`` returns False where the disk is full, and goes on.

    Args:
        path: Where to; its suffix is the format.
        image: Grey ``(H, W)`` or RGB ``(H, W, 3)``, uint8.

    Raises:
        OSError: If it cannot be written.
    """
    from PIL import Image  # not for --help
    Image.fromarray(image).save(path, quality=95)  # of a JPEG


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
    found = _read_mark(out / MARK)
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
def _alone(partial: Path, mark: Mapping[str, Any]) -> Iterator[IO]:
    """An empty folder to write to, which no other process does meanwhile, and its mark; in the end it is gone or renamed."""
    if partial.is_symlink() or partial.exists() and not (partial.is_dir() and _is_ours(partial, mark)):
        raise FileExistsError(f'{partial}, where the data set is written first, is there and not ours. Nothing was touched: '
                              'give another folder, or remove this one yourself.')
    partial.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(partial / MARK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, 'r+') as file:
        if not _lock(file, partial / MARK):
            raise FileExistsError(f'{partial}: another process is writing a data set there. Wait until it has ended, then '
                                  'run the command again.')
        try:
            _empty(partial)
            file.truncate()
            file.write(_UNFINISHED)
            file.flush()
            yield file
        finally:
            if partial.is_dir():  # it has not been renamed
                _empty(partial)
                (partial / MARK).unlink()  # last, so that what an interruption leaves is known to be ours
                partial.rmdir()


def _empty(partial: Path) -> None:
    """Remove all but the mark from a folder of ours."""
    for path in partial.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARK:
            path.unlink()


def _is_ours(partial: Path, mark: Mapping[str, Any]) -> bool:
    """Whether a writer of ours left a folder: marked, killed before it could, or as it was to rename this very data set."""
    left, file = {path.name for path in partial.iterdir()}, partial / MARK
    if not left or file.is_symlink() or not file.is_file():
        return not left
    return _read_mark(file) == mark or file.read_bytes() in (_UNFINISHED.encode(), *([b''] if left == {MARK} else []))


def _lock(file: IO, path: Path) -> bool:
    """Lock a file, unless another process has, or has moved it from its path since it was opened."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False
