"""Where the tensors of a checkpoint lie and how one of them is read without reading the others.

A store lists tensor names and reads some of them; three file formats, one interface. GGUF's is in ``gguf_store.py``.
"""
import json
import os
from math import prod
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Protocol, Tuple

import torch
from torch import Tensor

from .file_names import check_file_name, check_within
from .torch_files import load_torch_file

FetchFile = Callable[[str], Path]

_DTYPES = {
    'BF16': torch.bfloat16, 'F16': torch.float16, 'F32': torch.float32, 'F64': torch.float64,
    'I64': torch.int64, 'I32': torch.int32, 'I16': torch.int16, 'I8': torch.int8, 'U8': torch.uint8, 'BOOL': torch.bool,
}


class CheckpointError(ValueError):
    """A language checkpoint cannot be used; the message says what was found, expected and what to do."""


class UnreachableError(CheckpointError):
    """A file is not in the hub's cache, and the hub cannot be asked whether it exists."""


class TensorStore(Protocol):
    """Named tensors of one checkpoint, read on demand.

    Attributes:
        bytes_read: Bytes of tensor data and headers read so far.
    """
    bytes_read: int

    def names(self) -> Iterable[str]:
        """Names of all tensors, without reading them."""

    def file_of(self, name: str) -> str:
        """Name of the file that holds a tensor."""

    def read(self, names: List[str]) -> Dict[str, Tensor]:
        """Read tensors by name, in the file's own dtype."""


class SafetensorsStore:
    """One safetensors file or several shards; opens (and fetches) only the shards asked for.

    Args:
        files: Tensor name -> file name.
        fetch: Gives the local path of a file, downloading it where it is on a hub; raises
            FileNotFoundError where the checkpoint has no such file.
    """

    def __init__(self, files: Mapping[str, str], fetch: FetchFile) -> None:
        self._files = files
        self._fetch = fetch
        self._opened: set = set()
        self.bytes_read = 0

    @classmethod
    def from_single(cls, file: str, fetch: FetchFile) -> 'SafetensorsStore':
        """Open a checkpoint that is one file; its header is the index."""
        path = fetch(file)
        with _open_unbuffered(path) as opened:
            header, size = _read_header(path, opened)
        store = cls({name: file for name in header}, fetch)
        store._count_header(path, size)
        return store

    def names(self) -> Iterable[str]:
        """Names of all tensors, from the index or the header."""
        return self._files.keys()

    def file_of(self, name: str) -> str:
        """Name of the shard that holds a tensor."""
        return self._files[name]

    def read(self, names: List[str]) -> Dict[str, Tensor]:
        """Read tensors shard by shard, their bytes and no others."""
        tensors = {}
        for file in dict.fromkeys(self._files[name] for name in names):
            path = _fetch_shard(self._fetch, file)
            wanted = [name for name in names if self._files[name] == file]
            with _open_unbuffered(path) as opened:
                header, size = _read_header(path, opened)
                self._count_header(path, size)
                for name in wanted:
                    if name not in header:
                        raise _not_in_shard(path, name)
                    tensors[name] = _read_tensor(path, opened, name, header[name], size)
        self.bytes_read += sum(tensor.nbytes for tensor in tensors.values())
        return tensors

    def _count_header(self, path: Path, size: int) -> None:
        if path not in self._opened:
            self._opened.add(path)
            self.bytes_read += size


def _open_unbuffered(path: Path):
    """Open a file so that its bytes are read as asked for, without the system's read-ahead."""
    file = open(path, 'rb', buffering=0)
    if hasattr(os, 'posix_fadvise'):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
    return file


def _read_header(path: Path, file) -> Tuple[Dict[str, Any], int]:
    """Read and check the header of a safetensors file.

    Eight bytes give its length; it is JSON: name -> dtype, shape, and first and last byte after the header. The
    safetensors library maps the file, which reads megabytes ahead of what is asked for.

    Returns:
        tuple: Tensor name -> entry, and the number of bytes before the first tensor.
    """
    found = path.stat().st_size
    try:
        length = int.from_bytes(file.read(8), 'little')
        if length + 8 > found:
            raise ValueError(f'the header would end at byte {length + 8:,}')
        header = json.loads(file.read(length))
        header.pop('__metadata__', None)
        for name, entry in header.items():
            _check_entry(name, entry)
        announced = 8 + length + max((entry['data_offsets'][1] for entry in header.values()), default=0)
        if announced != found:
            raise ValueError(f'the tensors would end at byte {announced:,}')
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f'{path}: not a complete safetensors file ({error}); found {found:,} bytes, which is not what its header '
            'announces. The download was probably cut off: delete the file and fetch it again.') from None
    return header, 8 + length


def _check_entry(name: str, entry: Mapping[str, Any]) -> None:
    """A tensor has to lie where bytes can be, and in as many as its type and shape take."""
    (start, end), shape, dtype = entry['data_offsets'], entry['shape'], _DTYPES.get(entry['dtype'])
    if any(isinstance(side, bool) or not isinstance(side, int) or side < 0 for side in (start, end, *shape)):
        raise ValueError(f'{name!r} has the shape {shape} and the place {[start, end]}')
    if start > end or dtype and end - start != prod(shape) * dtype.itemsize:
        raise ValueError(f'{name!r}, {entry["dtype"]} of shape {shape}, is said to lie in bytes {start:,} to {end:,}')


def _read_tensor(path: Path, file, name: str, entry: Mapping[str, Any], header_size: int) -> Tensor:
    if entry['dtype'] not in _DTYPES:
        raise CheckpointError(f'{path}: tensor {name!r} is stored as {entry["dtype"]}; expected one of '
                              f'{", ".join(_DTYPES)}. Use a checkpoint that is not quantised, or a GGUF file.')
    start, end = entry['data_offsets']
    data = torch.empty(end - start, dtype=torch.uint8)
    file.seek(header_size + start)
    view, read = memoryview(data.numpy()), 0
    while read < len(view):  # one call gives at most 2 GiB
        count = file.readinto(view[read:])
        if not count:
            raise _cut_off(path, name, f'{read:,} of its {len(view):,} bytes are there')
        read += count
    return data.view(_DTYPES[entry['dtype']]).view(entry['shape'])


def check_length(path: Path, needed: int, name: str) -> None:
    """Refuse to touch a mapped file that became shorter since: the system ends a process that reads beyond its end.

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


def _cut_off(path: Path, name: str, found: str) -> CheckpointError:
    return CheckpointError(f'{path}: tensor {name!r} is cut off: {found}, and all were when the file was opened. Something '
                           'else writes to it; wait until that has ended, or fetch the file again.')


def _fetch_shard(fetch: FetchFile, file: str) -> Path:
    try:
        return fetch(file)
    except FileNotFoundError as error:
        raise CheckpointError(f'{error}: the index names the shard {file!r}, which is not there; expected every shard '
                              'that holds a chosen block. Fetch this file too.') from None


def _not_in_shard(path: Path, name: str) -> CheckpointError:
    return CheckpointError(f'{path}: the index says that this shard holds {name!r}, and it does not. The index and the '
                           'shards belong to different checkpoints; fetch both again.')


class PickleStore:
    """A ``pytorch_model.bin``, one file or shards, opened with ``weights_only=True`` and memory-mapped.

    Args:
        files: Tensor name -> file name, or ``None`` for a single file.
        single: The file name where there is only one.
        fetch: Gives the local path of a file.
    """

    def __init__(self, files: Mapping[str, str], fetch: FetchFile, single: str = '') -> None:
        self._fetch = fetch
        self._loaded: Dict[str, Dict[str, Tensor]] = {}
        self._mapped: Dict[str, Tuple[Path, int]] = {}
        self._files = files
        if not files:
            self._files = {name: single for name in self._load(single)}
        self.bytes_read = 0

    def _load(self, file: str) -> Dict[str, Tensor]:
        if file not in self._loaded:
            path = _fetch_shard(self._fetch, file) if self._files else self._fetch(file)
            try:
                tensors = load_torch_file(path, allowed={}, mmap=True)
            except Exception as error:  # pickle, zip and torch each raise their own types here
                reason = str(error).strip().split('\n')[0]
                raise CheckpointError(
                    f'{path}: cannot be opened as plain tensors ({reason}). Only files that weights_only=True accepts '
                    'are read; convert the checkpoint to safetensors where you trust it.') from None
            if not isinstance(tensors, Mapping):
                raise CheckpointError(f'{path}: holds a {type(tensors).__name__}; expected a state dict of named '
                                      'tensors. Save the model with save_pretrained.')
            self._loaded[file] = tensors
            self._mapped[file] = (path, path.stat().st_size)
        return self._loaded[file]

    def names(self) -> Iterable[str]:
        """Names of all tensors."""
        return self._files.keys()

    def file_of(self, name: str) -> str:
        """Name of the file that holds a tensor."""
        return self._files[name]

    def read(self, names: List[str]) -> Dict[str, Tensor]:
        """Read tensors; their data is paged in when they are copied."""
        tensors = {}
        for name in names:
            file = self._files[name]
            if name not in self._load(file):
                raise _not_in_shard(self._fetch(file), name)
            check_length(*self._mapped[file], name)
            tensors[name] = self._load(file)[name]
            if not isinstance(tensors[name], Tensor):
                raise CheckpointError(f'{self._fetch(file)}: {name!r} is a {type(tensors[name]).__name__}, no tensor. '
                                      'Save the model with save_pretrained.')
        self.bytes_read += sum(tensor.nbytes for tensor in tensors.values())
        return tensors


def read_index(path: Path) -> Dict[str, str]:
    """Read the tensor name -> shard map of a sharded checkpoint's index.

    Raises:
        CheckpointError: If it is no such index, or names a shard outside its own folder.
    """
    try:
        shards = json.loads(path.read_text(encoding='utf-8'))['weight_map']
        if not isinstance(shards, dict) or not shards:
            raise TypeError(f'weight_map is {shards!r:.60}')
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a shard index ({error!r}); expected JSON with a 'weight_map'. "
                              'Fetch the file again.') from None
    try:
        for file in {check_file_name(file) for file in shards.values()}:
            check_within(path.parent, file)
    except ValueError as error:
        raise CheckpointError(f'{path}: names a shard outside its own folder: {error}. Expected names of files beside the '
                              'index; fetch the checkpoint again from a source that you trust.') from None
    return shards
