"""GGUF files, llama.cpp's format: tensors read one by one, dequantised, under their Hugging Face names."""
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import torch
from torch import Tensor

from .byte_ranges import read_range
from .errors import CheckpointError
from .families import FAMILIES, block_tensors
from .gguf_header import GGUFTensor, read_header
from .spec import LanguageModelSpec

_FLOATS = {'F32': torch.float32, 'F16': torch.float16, 'F64': torch.float64}
#: How llama.cpp names the parts of a split file.
_PART = re.compile(r'(.*)-(\d{5})-of-(\d{5})(\.gguf)', re.IGNORECASE)
_MERGE = 'Put all parts side by side, or merge them: llama-gguf-split --merge FIRST_PART WHOLE.gguf.'


class GGUFFile(NamedTuple):
    """What the head of a GGUF file says, or the heads of the parts of a split one.

    Attributes:
        path: The file, the first where there are several.
        architecture: llama.cpp's name of the model family.
        metadata: The architecture's metadata, by key without the architecture's name.
        tensors: Where each tensor lies, by GGUF name.
    """
    path: Path
    architecture: str
    metadata: Dict[str, Any]
    tensors: Dict[str, GGUFTensor]


class GGUFStore:
    """A GGUF file, read tensor by tensor with the ``gguf`` package and shown under Hugging Face names.

    Args:
        file: The opened file.
        spec: The language model in it, whose names and layout the tensors are given.
    """

    def __init__(self, file: GGUFFile, spec: LanguageModelSpec) -> None:
        import gguf
        self._spec = spec
        self._family = FAMILIES[spec.model_type]
        self._tensors = file.tensors
        by_name = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
        if file.architecture not in by_name:
            raise CheckpointError(f'{file.path}: general.architecture={file.architecture!r:.60} is not known to the gguf '
                                  f'package; expected a name of llama.cpp. Use another file.')
        name_map = gguf.get_tensor_name_map(by_name[file.architecture], spec.num_blocks)
        self._names = self._hf_names(name_map)
        self.files = {name: self._tensors[stored].path.name for name, stored in self._names.items()}
        self.bytes_read = 0

    def _hf_names(self, name_map) -> Dict[str, str]:
        """Hugging Face name -> GGUF name; a block's tensor that has none keeps its GGUF name."""
        parts = (*range(self._spec.num_blocks), 'final_norm', 'position_table')
        mapped = {self._gguf_name(name_map, name): name for part in parts for name in block_tensors(self._spec, part)}
        names = {}
        for stored in self._tensors:
            block = re.match(r'blk\.(\d+)\.', stored)
            if stored in mapped or block:
                names[mapped.get(stored) or self._family.block_prefix.format(i=block[1]) + stored] = stored
        return names

    def _gguf_name(self, name_map, name: str) -> Optional[str]:
        """The GGUF name of a tensor that this file has, under whichever root the name map knows it."""
        found = (name_map.get_name(root + name, try_suffixes=('.weight', '.bias')) for root in self._family.root_prefixes)
        return next((candidate for candidate in found if candidate in self._tensors), None)

    def read(self, names: List[str]) -> Dict[str, Tensor]:
        """Read and dequantise tensors, in the layout that Hugging Face checkpoints have."""
        read = {}
        for name in names:
            stored = self._tensors[self._names[name]]
            self.bytes_read += stored.size
            read[name] = self._family.from_gguf(name, read_gguf_tensor(name, stored), self._spec.block)
        return read


def read_gguf_tensor(name: str, stored: GGUFTensor) -> Tensor:
    """Read and dequantise one tensor.

    Args:
        name: Its name, for messages.
        stored: Where it lies.

    Returns:
        Tensor: Floating-point values.

    Raises:
        CheckpointError: If it cannot be read.
    """
    import gguf
    data = read_range(stored.path, stored.start, stored.size, name)
    if stored.kind.name in _FLOATS:
        return data.view(_FLOATS[stored.kind.name]).view(stored.shape)
    block, width = gguf.GGML_QUANT_SIZES[stored.kind]
    rows = data.view(*stored.shape[:-1], stored.shape[-1] // block * width)
    try:
        values = gguf.quants.dequantize(rows.numpy(), stored.kind)
    except (NotImplementedError, KeyError):
        raise CheckpointError(
            f'{stored.path}: {name!r} is quantised as {stored.kind.name}, which the gguf package cannot '
            'dequantise. Use a file quantised as F16, BF16, Q8_0 or one of the K types.') from None
    return torch.tensor(values).view(stored.shape)


def open_gguf(path: Path, fetch: Optional[Callable[[str], Path]] = None) -> GGUFFile:
    """Read the head of a GGUF file, and of its parts where it is split; those read last are kept.

    Args:
        path: The file, or any part of it.
        fetch: Gives the local path of a part by its name. Defaults to None, the file's folder.

    Returns:
        GGUFFile: What the head says.

    Raises:
        ImportError: If the ``gguf`` package is missing.
        CheckpointError: If the file is not a complete GGUF file.
    """
    heads = [read_header(part) for part in _parts(path, fetch or (lambda name: path.parent / name))]
    metadata = heads[0].metadata
    architecture = metadata.get('general.architecture')
    if not isinstance(architecture, str):
        raise CheckpointError(f'{path}: its metadata have no general.architecture; found {", ".join(list(metadata)[:3])}. '
                              'It is no language model, or the file is damaged; use another.')
    tensors: Dict[str, GGUFTensor] = {}
    for head in heads:
        repeated = next(iter(tensors.keys() & head.tensors.keys()), None)
        if repeated:
            raise CheckpointError(f'{path}: two of its parts hold the tensor {repeated!r}. They belong to different files; '
                                  'fetch them again.')
        tensors.update(head.tensors)
    announced = metadata.get('split.tensors.count', len(tensors)) if len(heads) > 1 else len(tensors)
    if announced != len(tensors):
        raise CheckpointError(f'{path}: its parts hold {len(tensors)} tensors, and the first says {announced}. They belong '
                              'to different files; fetch them again.')
    start = architecture + '.'
    return GGUFFile(path, architecture, {key[len(start):]: value for key, value in metadata.items()
                                         if key.startswith(start)}, tensors)


def _parts(path: Path, fetch: Callable[[str], Path]) -> List[Path]:
    """The files that a GGUF file consists of, in order; most often itself."""
    count = read_header(path).metadata.get('split.count', 0)
    if count in (0, 1):
        return [path]
    named = _PART.fullmatch(path.name)
    if not named or int(named[3]) != count:
        raise CheckpointError(f'{path}: is one of {count} parts; expected a name such as '
                              f'{path.stem}-00001-of-{count:05}.gguf. {_MERGE}')
    parts = []
    for number in range(count):
        name = f'{named[1]}-{number + 1:05}-of-{count:05}{named[4]}'
        try:
            part = fetch(name)
            own = read_header(part).metadata.get('split.no')
        except FileNotFoundError:
            raise CheckpointError(f'{path}: is one of {count} parts, and {name} is not there. {_MERGE}') from None
        if own != number:
            raise CheckpointError(f'{part}: says that it is part {own!r}, counted from 0; its name says {number}. {_MERGE}')
        parts.append(part)
    return parts
