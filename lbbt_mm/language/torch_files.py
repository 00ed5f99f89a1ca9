"""Opening what ``torch.save`` wrote without running code from it, whatever else in the process has allowed."""
import threading
import zipfile
from contextlib import nullcontext
from io import BytesIO
from typing import Any, BinaryIO, Mapping

import torch

from .pickle_size import check_pickle

#: A file of torch before 1.6 begins with so many: two numbers, the system, what was saved, the keys of what lies behind.
_OLD_PICKLES = 5
_ALONE = threading.Lock()


def load_torch_file(file: Any, allowed: Mapping[str, Any], map_location: Any = 'cpu', mmap: bool = False) -> Any:
    """Load a file with torch's restricted unpickler and an allow-list of one's own.

    torch keeps one allow-list for the whole process, and mmengine puts the whole of ``builtins.getattr`` there while it
    loads a checkpoint. What others have put there is not in force here.

    Args:
        file: Path of the file, or an opened one.
        allowed: Full name in the file -> what stands for it, beside the parts of tensors that torch always allows.
        map_location: As in ``torch.load``; with ``'meta'`` no tensor's data is read.
        mmap: Whether the tensors may stay in the file until they are used, where its format allows that.

    Returns:
        Any: What the file holds.

    Raises:
        Exception: Of torch's, pickle's and zip's many types, if the file asks for more, or is damaged.
    """
    opened = nullcontext(file) if hasattr(file, 'read') else open(file, 'rb')
    with opened as content:
        start = content.tell()
        zipped = content.read(4) == b'PK\x03\x04'  # torch's own rule
        content.seek(start)
        if zipped:
            _check_entries(content)
            content.seek(start)
        _check_pickles(content, zipped)
        content.seek(start)
    mapped = (mmap or map_location == 'meta') and not hasattr(file, 'read') and zipped
    with _ALONE:
        others = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        try:
            torch.serialization.add_safe_globals([(value, name) for name, value in allowed.items()])
            return torch.load(file, map_location=map_location, weights_only=True, mmap=mapped)
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(others)


def _check_entries(file: BinaryIO) -> None:
    """``torch.save`` never compresses: a packed entry, or two over the same bytes, would grow when it is read."""
    with zipfile.ZipFile(file) as archive:
        entries, size = archive.infolist(), file.seek(0, 2)
    if any(entry.filename.endswith('/constants.pkl') for entry in entries):
        return  # a TorchScript program, which torch refuses by that name
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError('it has compressed entries, which torch.save does not write')
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError(f'its entries announce more than its {size:,} bytes')


def _check_pickles(file: BinaryIO, zipped: bool) -> None:
    """Look at what torch will unpickle; of an archive by torch's own reader, since others may find another entry."""
    if zipped:
        check_pickle(BytesIO(torch._C.PyTorchFileReader(file).get_record('data.pkl')))
        return
    start, size = file.tell(), file.seek(0, 2)
    file.seek(start)
    for _ in range(_OLD_PICKLES):
        if file.tell() < size:  # torch says of a file that ends early what it is
            check_pickle(file)
