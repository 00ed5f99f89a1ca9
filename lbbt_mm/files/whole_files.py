"""Files that are whole or not there: written under another name and renamed, whatever stops the writer."""
import json
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Dict, Iterator

from mmengine.fileio import LocalBackend, register_backend
from mmengine.fileio.io import backend_instances

#: What a file is called while it is written: its name, the process, and an ending that nobody else writes.
PART = r'.+\.\d+\.lbbt_mm\.part'


@contextmanager
def whole_file(path: Any, mode: str = 'wb', **options: Any) -> Iterator[IO]:
    """Open a file for writing that takes the place of ``path`` when all of it is written and on the disk.

    Args:
        path: The file. Another one of that name stays as it is until then, and where writing fails.
        mode: ``'wb'`` or ``'w'``.
        **options: As for :func:`open`.

    Raises:
        OSError: If it cannot be written; the message names the file.
    """
    path = Path(path)
    part = path.with_name(f'{path.name}.{os.getpid()}.lbbt_mm.part')
    try:
        with open(part, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        earlier = ' The one that was there before is as it was.' if path.exists() else ''
        raise OSError(error.errno, f'{path} could not be written: {error.strerror}.{earlier} Make room or correct the path; '
                                   'a training goes on from its last checkpoint with --resume') from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a killed writer, never leaves half of it."""
    with whole_file(path, 'w', encoding='utf-8') as file:
        file.write(text)


def read_dict(path: Any) -> Dict[str, Any]:
    """What a JSON file of ours holds; nothing where it is absent, damaged, or no object."""
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def remove_parts(folder: Path, names: str = '*') -> None:
    """Remove what killed processes have left half-written.

    Args:
        folder: Where no process writes such files now.
        names: Pattern of the files' names.
    """
    for path in Path(folder).glob(f'{names}.lbbt_mm.part'):
        if re.fullmatch(PART, path.name) and path.is_file() and not path.is_symlink():
            path.unlink()


class WholeFileBackend(LocalBackend):
    """mmengine's local files, written whole."""

    def put(self, obj: bytes, filepath: Any) -> None:
        """Write bytes."""
        os.makedirs(os.path.dirname(filepath) or '.', exist_ok=True)
        with whole_file(filepath) as file:
            file.write(obj)

    def put_text(self, obj: str, filepath: Any, encoding: str = 'utf-8') -> None:
        """Write text."""
        self.put(obj.encode(encoding), filepath)


def write_files_whole() -> None:
    """Have mmengine write every local file, checkpoints among them, whole; for the rest of the process."""
    register_backend('local', WholeFileBackend, force=True, prefixes='')
    for key in [key for key in backend_instances if key.split(':')[0] in ('', 'local')]:
        del backend_instances[key]
