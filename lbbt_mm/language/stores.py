"""Where the tensors of a checkpoint lie and how one of them is read without reading the others.

A store lists tensor names and reads some of them; three file formats, one interface. GGUF's is in ``gguf_store.py``. What a
header may say is the safetensors package's rule, what a pickle may name torch's; added here are names that are there once,
bounds on sizes, and kinds of tensors.
"""
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Protocol, Tuple, Union

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .byte_ranges import check_length, open_unbuffered, read_pieces, read_range, unreadable
from .errors import CheckpointError
from .file_names import check_file_name, check_within
from .hub import FetchFile
from .strict_json import parse_object, read_object
from .torch_files import load_torch_file

_DTYPES = {
    'F8_E4M3': torch.float8_e4m3fn, 'F8_E5M2': torch.float8_e5m2, 'F8_E4M3FNUZ': torch.float8_e4m3fnuz,
    'F8_E5M2FNUZ': torch.float8_e5m2fnuz,
    'BF16': torch.bfloat16, 'F16': torch.float16, 'F32': torch.float32, 'F64': torch.float64,
    'I64': torch.int64, 'I32': torch.int32, 'I16': torch.int16, 'I8': torch.int8, 'U8': torch.uint8, 'BOOL': torch.bool,
}
#: Room for some twenty thousand tensors in one file.
_LARGEST_HEADER = 2**21


class TensorStore(Protocol):
    """Named tensors of one checkpoint, read on demand.

    Attributes:
        files: Tensor name -> name of the file that holds it, known without reading any.
        bytes_read: Bytes of tensor data and headers read so far.
    """
    files: Mapping[str, str]
    bytes_read: int

    def read(self, names: List[str]) -> Dict[str, Tensor]:
        """Read tensors by name, in the file's own dtype."""


class FileStore:
    """A checkpoint of one file or of several shards; opens (and fetches) only the shards asked for.

    Args:
        open_file: Opens one, :class:`SafetensorsFile` or :class:`PickleFile`.
        fetch: Gives the local path of a file, downloading it where it is on a hub; raises
            FileNotFoundError where the checkpoint has no such file.
        files: Tensor name -> file name; or the name of the one file.
    """

    def __init__(self, open_file: Callable[[Path], 'OpenedFile'], fetch: FetchFile,
                 files: Union[str, Mapping[str, str]]) -> None:
        self._open_file = open_file
        self._fetch = fetch
        self._opened: Dict[str, OpenedFile] = {}
        self.bytes_read = 0
        self.files = files if isinstance(files, Mapping) else dict.fromkeys(self._open(files, fetch).names, files)

    def read(self, names: List[str]) -> Dict[str, Tensor]:
        """Read tensors by name, their bytes and no others."""
        tensors = {}
        for name in names:
            opened = self._open(self.files[name], self._fetch_shard)
            if name not in opened.names:
                raise CheckpointError(f'{opened.path}: the index says that this shard holds {name!r}, and it does not. The '
                                      'index and the shards belong to different checkpoints; fetch both again.')
            tensors[name] = opened.read(name)
        self.bytes_read += sum(tensor.nbytes for tensor in tensors.values())
        return tensors

    def _open(self, file: str, fetch: FetchFile) -> 'OpenedFile':
        if file not in self._opened:
            self._opened[file] = self._open_file(fetch(file))
            self.bytes_read += self._opened[file].head_size
        return self._opened[file]

    def _fetch_shard(self, file: str) -> Path:
        try:
            return self._fetch(file)
        except FileNotFoundError as error:
            raise CheckpointError(f'{error}: the index names the shard {file!r}, which is not there; expected every shard '
                                  'that holds a chosen block. Fetch this file too.') from None


class SafetensorsFile:
    """A safetensors file, whose header is read and checked.

    Eight bytes give the header's length; it is JSON: name -> dtype, shape, and first and last byte after the header. The
    safetensors library checks that each tensor lies in as many bytes as it takes, over no other and without gaps, and that
    the file ends with the last; not that no name is there twice. It maps the file, which reads megabytes ahead of what is
    asked for, so the tensors are read without it.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path, size = path, path.stat().st_size
        try:
            with open_unbuffered(path) as file:
                length = int.from_bytes(file.read(8), 'little')
                if _LARGEST_HEADER < length < size:
                    raise ValueError(f'its header of {length:,} bytes is longer than the {_LARGEST_HEADER:,} that one may '
                                     'have')
                with safe_open(path, 'pt'):
                    pass
                self.names = parse_object(file.read(length))
        except (SafetensorError, ValueError) as error:
            reason = str(error).replace('Error while deserializing header: ', '')
            raise CheckpointError(
                f'{path}: not a complete safetensors file ({reason:.200}); found {size:,} bytes, which is not '
                'what its header announces. The download was probably cut off: delete the file and fetch it again.'
            ) from None
        except OSError as error:
            raise unreadable(path, error) from None
        self.names.pop('__metadata__', None)
        self.head_size = 8 + length

    def read(self, name: str) -> Tensor:
        """Read one tensor's bytes."""
        dtype, (start, end) = self.dtype(name), self._place(name)
        return read_range(self.path, start, end - start, name).view(dtype).view(self.names[name]['shape'])

    def read_pieces(self, name: str, size: int) -> Iterator[Tensor]:
        """Read one tensor's numbers, flat, so many bytes at once."""
        dtype = self.dtype(name)
        for piece in read_pieces(self.path, *self._place(name), size, name):
            yield piece.view(dtype)

    def dtype(self, name: str) -> torch.dtype:
        """Type of one tensor's numbers, if it is one that is read here."""
        found = self.names[name]['dtype']
        if found not in _DTYPES:
            raise CheckpointError(f'{self.path}: tensor {name!r} is stored as {found}; expected plain numbers, such '
                                  'as BF16, F16 or F32. Use a checkpoint that is not quantised, or a GGUF file.')
        return _DTYPES[found]

    def _place(self, name: str) -> Tuple[int, int]:
        start, end = self.names[name]['data_offsets']
        return self.head_size + start, self.head_size + end


class PickleFile:
    """A ``pytorch_model.bin``, opened with ``weights_only=True`` and memory-mapped: data is paged in when it is copied.

    Args:
        path: Where it is.
    """
    head_size = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.names = unwrapped(load_torch_file(path, allowed={}, mmap=True))
        except Exception as error:  # pickle, zip and torch each raise their own types here
            reason = str(error).strip().split('\n')[0]
            raise CheckpointError(
                f'{path}: cannot be opened as plain tensors ({reason}). Only files that weights_only=True accepts '
                'are read; convert the checkpoint to safetensors where you trust it.') from None
        if not isinstance(self.names, Mapping) or not all(isinstance(name, str) for name in self.names):
            raise CheckpointError(f'{path}: holds a {type(self.names).__name__}; expected a state dict of named '
                                  'tensors. Save the model with save_pretrained.')
        self._size = path.stat().st_size

    def read(self, name: str) -> Tensor:
        """One tensor, if it is a plain one."""
        check_length(self.path, self._size, name)
        found = self.names[name]
        if not isinstance(found, Tensor) or found.layout is not torch.strided or found.is_meta or found.is_nested:
            kind = 'tensor without data' if getattr(found, 'is_meta', False) else getattr(
                found, 'layout', type(found).__name__)
            raise CheckpointError(f'{self.path}: {name!r} is a {kind}, no plain tensor. Save the model with '
                                  'save_pretrained.')
        return found


OpenedFile = Union[SafetensorsFile, PickleFile]


def unwrapped(found: Any) -> Any:
    """The state dict in what a training script saved beside other things, under one of the usual keys.

    Args:
        found: What the file holds; returned as it is where it is none of these.
    """
    # a loss or a step beside it is one number
    if isinstance(found, Mapping) and not any(isinstance(value, Tensor) and value.ndim for value in found.values()):
        return next((found[key] for key in ('state_dict', 'model_state_dict', 'model', 'module')
                     if isinstance(found.get(key), Mapping)), found)
    return found


def read_index(path: Path) -> Dict[str, str]:
    """Read the tensor name -> shard map of a sharded checkpoint's index.

    Raises:
        CheckpointError: If it is no such index, or names a shard outside its own folder.
    """
    try:
        shards = read_object(path)['weight_map']
        if not isinstance(shards, dict) or not shards:
            raise TypeError(f'weight_map is {shards!r:.60}')
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a shard index ({error!r}); expected JSON with a 'weight_map'. "
                              'Fetch the file again.') from None
    try:
        for file in {check_file_name(file) for file in shards.values()}:
            check_within(path.parent, file)
    except ValueError as error:
        raise CheckpointError(f'{path}: names a shard outside its own folder: {error}. Expected names of files beside the '
                              'index; fetch the checkpoint again from a source that you trust.') from None
    return shards
