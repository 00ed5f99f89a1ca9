"""Image paths relative to a dataset's root: unlike absolute paths, they are the same on every machine."""
import os
import posixpath
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Optional, Union


class DataRoot:
    """The folder or URL that image paths are made relative to.

    Args:
        root: A folder, absolute or relative to the current one, or a URL such as ``s3://bucket/data``.
    """

    def __init__(self, root: Union[str, os.PathLike]) -> None:
        self.root = os.fspath(root)
        self._absolute = _normalise_url(self.root) if '://' in self.root else _absolute(self.root)

    @property
    def real(self) -> str:
        """The folder with links followed, or the URL without detours: one string for all ways to write the same root."""
        return self._absolute if '://' in self.root else os.path.realpath(self._absolute)

    def relative(self, path: Union[str, os.PathLike]) -> str:
        """Make an image's path relative.

        Symbolic links are followed only where the names do not show that the image is below the root.

        Args:
            path: The path as the dataset has it.

        Returns:
            str: The part below the root, with forward slashes.

        Raises:
            ValueError: If the image is not below the root.
        """
        path = os.fspath(path)
        if '://' in self.root:
            url = _normalise_url(path) if '://' in path else ''
            below = _below(url, self._absolute)
        else:
            folder, name = os.path.split(_absolute(path))
            folder = _folder_below(folder, self._absolute) if '://' not in path else None
            below = None if folder is None else posixpath.join(folder, name)
        if not below:
            raise ValueError(f'{path} is not below data_root={self.root!r} ({self._absolute}). Set data_root to the folder '
                             "that all image paths begin with (mostly the dataset's data_root), or choose another key.")
        # file systems differ in how they write an accented letter
        return unicodedata.normalize('NFC', below)


@lru_cache(maxsize=100_000)
def _folder_below(folder: str, root: str) -> Optional[str]:
    """The path of ``folder`` from ``root``, '' for ``root`` itself, or None if it lies elsewhere."""
    direct = _below(folder, root)
    if direct is not None:
        return direct
    real_root = os.path.realpath(root)
    for parent in (Path(folder), *Path(folder).parents):  # names below the root count, wherever their links lead
        if os.path.realpath(parent) == real_root:
            return _below(folder, str(parent))
    return _below(os.path.realpath(folder), real_root)


def _below(path: str, root: str) -> Optional[str]:
    """The part of an absolute path below another one; '' for that one itself."""
    prefix = root.rstrip('/') + '/'
    return f'{path}/'[len(prefix):].rstrip('/') if f'{path}/'.startswith(prefix) else None


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _normalise_url(url: str) -> str:
    scheme, _, rest = url.partition('://')
    return f'{scheme}://{posixpath.normpath(rest)}'
