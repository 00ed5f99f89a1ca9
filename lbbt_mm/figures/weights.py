"""The weights of any checkpoint, tensor by tensor; no model is built, and nothing is unpickled freely."""
import math
import re
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor

from lbbt_mm.analysis.tensor_kinds import is_buffer
from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
from lbbt_mm.language.errors import CheckpointError, UnreachableError
from lbbt_mm.language.gguf_header import GGUFTensor
from lbbt_mm.language.gguf_store import open_gguf, read_gguf_tensor
from lbbt_mm.language.hub import FetchFile, hub_fetcher
from lbbt_mm.language.stores import SafetensorsFile, read_index, unwrapped
from lbbt_mm.language.tensor_names import refuse_other_kinds, stored_names
from .parts import stamp

#: Bytes that are read at once.
_PIECE = 2**23
_SAFETENSORS, _PICKLE = 'model.safetensors', 'pytorch_model.bin'
_FLOATS_OF_8_BITS = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64, *_FLOATS_OF_8_BITS)
_EXPECTED = (f'expected {_SAFETENSORS}, {_PICKLE} or the shards of one with their index, or the checkpoint of a run. Give '
             'such a folder, or a .safetensors, .gguf or .pth file')


class Weight(NamedTuple):
    """One tensor of a checkpoint.

    Attributes:
        name: Its name, without what wrappers put into it.
        shape: Its shape.
        pieces: Reads its numbers piece by piece, each time that it is called; those of 8 bits come as ``float16``.
    """
    name: str
    shape: Tuple[int, ...]
    pieces: Callable[[], Iterator[Tensor]]


class Weights(NamedTuple):
    """The weights of a checkpoint.

    Attributes:
        location: What the user gave.
        tensors: The weights.
        left_out: Names of its other tensors: integers, and buffers that nothing trains.
        question: What tells it from others, for :class:`~lbbt_mm.figures.parts.Parts`.
    """
    location: str
    tensors: List[Weight]
    left_out: List[str]
    question: Any


class _Found(NamedTuple):
    """A tensor of any type in a file; tied ones, one tensor under several names, are in one place of the memory."""
    shape: Tuple[int, ...]
    is_float: bool
    pieces: Callable[[], Iterator[Tensor]]
    place: Any = None


def open_weights(location: str) -> Weights:
    """Find the weights of a checkpoint; their data is read later.

    Args:
        location: A folder in Hugging Face format, or of a run, whose latest checkpoint is taken; a .safetensors or GGUF
            file, which is dequantised; one that torch.save wrote (mm, timm, torchvision, a plain state dict); or a hub id.

    Raises:
        ValueError: If there is nothing usable.
    """
    path = Path(location).expanduser()
    if path.is_dir():
        files, found = _open_folder(location, path)
    elif path.is_file() or path.suffix in ('.safetensors', '.bin', '.pth', '.pt', '.ckpt'):
        files, found = _open_file(path)
    else:
        files, found = _open_hub(location)
    return _weights(location, found, [stamp(file) for file in files])


def weights_of(state: Mapping[str, Tensor], location: str, question: Any) -> Weights:
    """The weights of a model that is built.

    Args:
        state: Its state dict.
        location: What it is called in messages.
        question: See :class:`Weights`.
    """
    return _weights(location, _in_state_dict(location, state), question)


def named_weights(build: Callable[[], Weights], location: str, question: Any, shapes: Mapping[str, Sequence[int]],
                  left_out: List[str]) -> Weights:
    """Weights that are known by name, and built when they are first read.

    Args:
        build: Gives the weights; it should keep what it has built.
        location: What the model is called in messages.
        question: See :class:`Weights`.
        shapes: Name -> shape of each.
        left_out: See :class:`Weights`.
    """
    lock = Lock()  # tensors are read on several threads

    def pieces(name: str) -> Iterator[Tensor]:
        with lock:
            built = build()
        return next(one for one in built.tensors if one.name == name).pieces()

    return Weights(location, [Weight(name, tuple(shape), partial(pieces, name)) for name, shape in shapes.items()], left_out,
                   question)


def _weights(location: str, found: Mapping[str, _Found], question: Any) -> Weights:
    refuse_other_kinds(found, location)
    first = {one.place or name: name for name, one in reversed(found.items())}
    found = {name: one for name, one in found.items() if first[one.place or name] == name}
    named = {name: found[stored] for name, stored in stored_names(found, location).items()}
    chosen = [Weight(name, one.shape, partial(_half_at_least, one.pieces)) for name, one in named.items()
              if one.is_float and 0 not in one.shape and not is_buffer(name, one.shape)]
    if not chosen:
        first = f', {next(iter(found))!r:.80} first' if found else ''
        raise CheckpointError(f'{location}: has no floating-point weights; found {len(found)} tensors{first}; expected '
                              'those of a model. Give its checkpoint.')
    return Weights(location, chosen, sorted(named.keys() - {one.name for one in chosen}), question)


def _half_at_least(pieces: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
    """Numbers of 8 bits as such of 16, which is exact."""
    for piece in pieces():
        yield piece.half() if piece.dtype in _FLOATS_OF_8_BITS else piece


# ---------------------------------------------------------------------------------------------------- where weights lie
def _open_folder(location: str, path: Path) -> Tuple[List[Path], Dict[str, _Found]]:
    from lbbt_mm.launch.work_directory import latest_checkpoint
    from lbbt_mm.runs.run_folder import read_request

    def fetch(file: str) -> Path:
        if not (path / file).is_file():
            raise FileNotFoundError(path / file)
        return path / file

    try:
        return _open_repository(location, fetch)
    except FileNotFoundError:
        pass
    only = list(path.glob('*.safetensors')) or list(path.glob('*.gguf'))
    if len(only) == 1:
        return _open_file(only[0])
    latest = latest_checkpoint(path, (read_request(path) or {}).get('config'))
    if latest is None:
        raise CheckpointError(f'{location}: holds no weights; {_EXPECTED}.')
    return _open_file(Path(latest.path))


def _open_hub(location: str) -> Tuple[List[Path], Dict[str, _Found]]:
    parts, is_gguf = location.split('/'), location.lower().endswith('.gguf')
    if not re.fullmatch(r'[\w.-]+(/[\w.-]+)*', location) or location.startswith('.') or is_gguf != (len(parts) > 2):
        raise CheckpointError(f'{location}: no such file or folder, nor the id of a model on the hub; {_EXPECTED}.')
    fetch = hub_fetcher('/'.join(parts[:2]))
    try:
        if not is_gguf:
            return _open_repository(location, fetch)
        path = fetch('/'.join(parts[2:]))
        return _open_gguf(path, lambda name: fetch('/'.join([*parts[2:-1], name])))
    except UnreachableError:
        raise CheckpointError(f'{location}: no such file or folder, nor is it in the cache of the hub, which cannot be '
                              f'reached; {_EXPECTED}.') from None
    except FileNotFoundError:
        raise CheckpointError(f'{location}: the hub has the model, but no such weights; {_EXPECTED}.') from None


def _open_repository(location: str, fetch: FetchFile) -> Tuple[List[Path], Dict[str, _Found]]:
    """Open weights in Hugging Face format, safe formats and single files first; FileNotFoundError where there are none."""
    unreachable = None
    for name in (_SAFETENSORS, _PICKLE):
        for is_sharded in (False, True):
            try:
                first = fetch(f'{name}.index.json' if is_sharded else name)
            except FileNotFoundError:
                continue
            except UnreachableError as error:
                unreachable = error
                continue
            return _open_shards(location, fetch, read_index(first)) if is_sharded else _open_file(first)
    raise unreachable or FileNotFoundError(location)


def _open_shards(location: str, fetch: FetchFile, index: Mapping[str, str]) -> Tuple[List[Path], Dict[str, _Found]]:
    try:
        files = [fetch(file) for file in sorted(set(index.values()))]
    except FileNotFoundError as error:
        raise CheckpointError(f'{error}: the index names this shard, which is not there; expected every shard. Fetch it '
                              'too.') from None
    found = {name: one for file in files for name, one in _open_file(file)[1].items()}
    missing = next((name for name in index if name not in found), None)
    if missing:
        raise CheckpointError(f'{location}: the index lists the tensor {missing!r}, and no shard holds it. They belong to '
                              'different checkpoints; fetch both again.')
    return files, found


def _open_file(path: Path) -> Tuple[List[Path], Dict[str, _Found]]:
    if path.suffix.lower() == '.gguf':
        return _open_gguf(path)
    if path.suffix == '.safetensors' and path.is_file():
        return [path], _in_safetensors(SafetensorsFile(path))
    state = unwrapped(load_checkpoint_safely(path, mmap=True))
    return [path], _in_state_dict(str(path), state)


# -------------------------------------------------------------------------------------------------------- kinds of files
def _in_safetensors(file: SafetensorsFile) -> Dict[str, _Found]:
    floats = {name: file.dtype(name) for name, entry in file.names.items() if 'F' in entry['dtype']}  # or a refusal
    return {name: _Found(tuple(entry['shape']), name in floats, partial(file.read_pieces, name, _PIECE))
            for name, entry in file.names.items()}


def _open_gguf(path: Path, fetch: Any = None) -> Tuple[List[Path], Dict[str, _Found]]:
    """A file, or all parts of one that is split."""
    stored = open_gguf(path, fetch).tensors
    found = {name: _Found(one.shape, not re.fullmatch(r'I\d+', one.kind.name), partial(_gguf_pieces, name, one))
             for name, one in stored.items()}
    return list(dict.fromkeys([path, *(one.path for one in stored.values())])), found


def _gguf_pieces(name: str, stored: GGUFTensor) -> Iterator[Tensor]:
    """Dequantise a tensor some rows at a time."""
    rows, *rest = stored.shape if len(stored.shape) > 1 else (1, *stored.shape)
    width, at_once = stored.size // rows, max(1, _PIECE // (4 * math.prod(rest)))
    for first in range(0, rows, at_once):
        count = min(at_once, rows - first)
        yield read_gguf_tensor(name, stored._replace(shape=(count, *rest), start=stored.start + first * width,
                                                     size=count * width))


def _in_state_dict(location: str, state: Mapping[str, Any]) -> Dict[str, _Found]:
    found = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            continue
        if value.is_floating_point() and (value.layout is not torch.strided or value.is_meta or value.dtype not in _FLOATS):
            raise CheckpointError(f'{location}: tensor {name!r} is stored as {value.dtype}, {value.layout}; expected plain '
                                  f'numbers of {", ".join(map(str, _FLOATS))}. Save the model unquantised.')
        place = value.layout is torch.strided and value.numel() and (value.data_ptr(), value.shape, value.stride())
        found[name] = _Found(tuple(value.shape), value.is_floating_point(), partial(_state_pieces, value), place or None)
    return found


def _state_pieces(value: Tensor) -> Iterator[Tensor]:
    yield from value.detach().cpu().reshape(-1).split(_PIECE // value.element_size())
