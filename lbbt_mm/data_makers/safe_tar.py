"""Tar archives of others: read whole or refused, and unpacked nowhere but into the folder that is meant."""
import tarfile
import zlib
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path
from typing import Iterator


@contextmanager
def open_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, compressed or not.

    Args:
        path: The archive.

    Raises:
        ValueError: If it is none, or is damaged where it is read.
        RuntimeError: If this Python cannot unpack archives of others.
    """
    if not hasattr(tarfile, 'data_filter'):
        raise RuntimeError('this Python has no tarfile.data_filter, without which archives of others are not unpacked. Take '
                           'a later release of it (3.9.17, 3.10.12, 3.11.4), or unpack the archive and give the folder.')
    try:
        with tarfile.open(path) as archive:
            yield archive
    except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError) as error:
        if getattr(error, 'errno', None) is not None:  # of the disk; those of damaged streams have none
            raise
        reason = str(error).partition(':\n')[0]
        raise ValueError(f'{path} is not a complete tar archive ({reason:.160}). Expected one as it is published; fetch it '
                         'again.') from None


def read_members(path: Path, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All members of an archive, which is refused if any is not safe, whether it is wanted or not.

    Args:
        path: The archive, for messages.
        archive: As it was opened.

    Raises:
        ValueError: If a member leads outside or is a device, or if the archive ends before its end.
    """
    for member in archive:
        try:
            tarfile.data_filter(member, '/nowhere')
        except tarfile.FilterError as error:
            raise ValueError(f'{path}: {member.name!r:.80} is no member of a safe archive ({error!s:.160}). Nothing was '
                             'written: take the archive from where it is published.') from None
        yield member
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # the module takes a cut for the end
        raise ValueError(f'{path} is not a complete tar archive (it breaks off). Expected one as it is published; fetch it '
                         'again.')
    while archive.fileobj.read(1 << 20):  # the checksum of a compressed one comes last
        pass


def extract_as(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, name: str) -> None:
    """Unpack one file.

    Args:
        archive: The archive.
        member: A regular file in it.
        root: A folder.
        name: Where in this folder the file goes.
    """
    archive.extract(member.replace(name=name, deep=False), root, filter='data')
