"""GGUF files, llama.cpp's format: tensors read one by one, dequantised, under their Hugging Face names."""
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from .families import FAMILIES, model_tensors
from .spec import LanguageModelSpec
from .stores import CheckpointError, check_length


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
        check_length(self._path, int(stored.data_offset + stored.n_bytes), name)
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
