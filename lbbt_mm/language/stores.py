"""Where the tensors of a checkpoint lie and how one of them is read without reading the others.

A store lists tensor names and reads some of them; three file formats, one interface.
"""
import json
import os
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Protocol, Tuple

import torch
from torch import Tensor

from .families import FAMILIES, model_tensors
from .spec import LanguageModelSpec

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
        announced = 8 + length + max((entry['data_offsets'][1] for entry in header.values()), default=0)
        if announced != found:
            raise ValueError(f'the tensors would end at byte {announced:,}')
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f'{path}: not a complete safetensors file ({error}); found {found:,} bytes, which is not what its header '
            'announces. The download was probably cut off: delete the file and fetch it again.') from None
    return header, 8 + length


def _read_tensor(path: Path, file, name: str, entry: Mapping[str, Any], header_size: int) -> Tensor:
    if entry['dtype'] not in _DTYPES:
        raise CheckpointError(f'{path}: tensor {name!r} is stored as {entry["dtype"]}; expected one of '
                              f'{", ".join(_DTYPES)}. Use a checkpoint that is not quantised, or a GGUF file.')
    start, end = entry['data_offsets']
    data = torch.empty(end - start, dtype=torch.uint8)
    file.seek(header_size + start)
    view, read = memoryview(data.numpy()), 0
    while read < len(view):  # one call gives at most 2 GiB
        read += file.readinto(view[read:])
    return data.view(_DTYPES[entry['dtype']]).view(entry['shape'])


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
        self._files = files
        if not files:
            self._files = {name: single for name in self._load(single)}
        self.bytes_read = 0

    def _load(self, file: str) -> Dict[str, Tensor]:
        if file not in self._loaded:
            path = _fetch_shard(self._fetch, file) if self._files else self._fetch(file)
            try:
                # files from before torch 1.6 are no zip archives and cannot be mapped
                tensors = torch.load(path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path))
            except Exception as error:  # pickle, zip and torch each raise their own types here
                reason = str(error).strip().split('\n')[0]
                raise CheckpointError(
                    f'{path}: cannot be opened as plain tensors ({reason}). Only files that weights_only=True accepts '
                    'are read; convert the checkpoint to safetensors where you trust it.') from None
            if not isinstance(tensors, Mapping):
                raise CheckpointError(f'{path}: holds a {type(tensors).__name__}; expected a state dict of named '
                                      'tensors. Save the model with save_pretrained.')
            self._loaded[file] = tensors
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
            tensors[name] = self._load(file)[name]
        self.bytes_read += sum(tensor.nbytes for tensor in tensors.values())
        return tensors


class GGUFFile(NamedTuple):
    """What the head of a GGUF file says.

    Attributes:
        path: The file.
        architecture: llama.cpp's name of the model family.
        metadata: The architecture's single-valued metadata, by key without the architecture's name.
        tensors: Where each tensor lies, by GGUF name.
    """
    path: Path
    architecture: str
    metadata: Dict[str, Any]
    tensors: Dict[str, Any]


class GGUFStore:
    """A GGUF file, read tensor by tensor with the ``gguf`` package and shown under Hugging Face names.

    Args:
        file: The opened file.
        spec: The language model in it, whose names and layout the tensors are given.
    """

    def __init__(self, file: GGUFFile, spec: LanguageModelSpec) -> None:
        import gguf
        self._path = file.path
        self._spec = spec
        self._family = FAMILIES[spec.model_type]
        self._tensors = file.tensors
        by_name = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
        name_map = gguf.get_tensor_name_map(by_name[file.architecture], spec.num_blocks)
        self._names = dict(self._hf_names(name_map))
        self.bytes_read = 0

    def _hf_names(self, name_map) -> Iterable[Tuple[str, str]]:
        """Pairs of Hugging Face name and GGUF name; a block's tensor that has none keeps its GGUF name."""
        for part in ('final_norm', 'position_table'):
            for name in model_tensors(self._spec, part):
                found = self._gguf_name(name_map, name)
                if found in self._tensors:
                    yield name, found
        mapped = {}
        for index in range(self._spec.num_blocks):
            prefix = self._family.block_prefix.format(i=index)
            for rule in self._family.rules(self._spec.block):
                for source in rule.sources:
                    mapped[self._gguf_name(name_map, prefix + source.name)] = prefix + source.name
            for name in self._tensors:
                if name.startswith(f'blk.{index}.'):
                    yield mapped.get(name, prefix + name), name

    def _gguf_name(self, name_map, name: str) -> Optional[str]:
        """The GGUF name of a tensor that this file has, under whichever root the name map knows it."""
        found = (name_map.get_name(root + name, try_suffixes=('.weight', '.bias')) for root in self._family.root_prefixes)
        return next((candidate for candidate in found if candidate in self._tensors), None)

    def names(self) -> Iterable[str]:
        """Hugging Face names of the tensors of blocks, final norm and position table."""
        return self._names.keys()

    def file_of(self, name: str) -> str:
        """The file's name."""
        return self._path.name

    def read(self, names: List[str]) -> Dict[str, Tensor]:
        """Read and dequantise tensors, in the layout that Hugging Face checkpoints have."""
        return {name: self._read(name) for name in names}

    def _read(self, name: str) -> Tensor:
        import gguf
        stored = self._tensors[self._names[name]]
        try:
            values = gguf.quants.dequantize(stored.data, stored.tensor_type)
        except NotImplementedError:
            raise CheckpointError(
                f'{self._path}: {name!r} is quantised as {stored.tensor_type.name}, which the gguf package cannot '
                'dequantise. Use a file quantised as F16, BF16, Q8_0 or one of the K types.') from None
        self.bytes_read += int(stored.n_bytes)
        return self._family.from_gguf(name, torch.tensor(values), self._spec.block)


def open_gguf(path: Path) -> GGUFFile:
    """Read the head of a GGUF file; the last one is kept, since parsing its token list takes seconds.

    Raises:
        ImportError: If the ``gguf`` package is missing.
        CheckpointError: If the file is not a complete GGUF file.
    """
    found = path.stat()
    return _parse_gguf(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1)
def _parse_gguf(path: Path, size: int, modified: int) -> GGUFFile:
    try:
        import gguf
    except ImportError:
        raise ImportError(f"{path}: reading GGUF files needs the package 'gguf': pip install gguf") from None
    try:
        reader = gguf.GGUFReader(path)
        architecture = _gguf_value(reader.fields['general.architecture'])
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise CheckpointError(f'{path}: not a complete GGUF file ({error}); found {size:,} bytes. The download was '
                              'probably cut off: delete the file and fetch it again.') from None
    start = architecture + '.'
    metadata = {key[len(start):]: _gguf_value(field) for key, field in reader.fields.items()
                if key.startswith(start) and len(field.types) == 1}
    return GGUFFile(path, architecture, metadata, {tensor.name: tensor for tensor in reader.tensors})


def _gguf_value(field) -> Any:
    """A single value of the metadata; an array's types would be more than one."""
    part = field.parts[field.data[0]]
    return bytes(part).decode() if field.types[0].name == 'STRING' else part[0].item()


def read_index(path: Path) -> Dict[str, str]:
    """Read the tensor name -> shard map of a sharded checkpoint's index."""
    try:
        return json.loads(path.read_text())['weight_map']
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a shard index ({error!r}); expected JSON with a 'weight_map'. "
                              'Fetch the file again.') from None
