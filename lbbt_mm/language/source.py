"""Opens a language checkpoint wherever it is (hub, folder, GGUF file) and reads the chosen blocks only."""
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from .config_json import diagnose, read_config
from .errors import CheckpointError, UnreachableError
from .families import FAMILIES, block_tensors, get_family, model_tensors, read_spec
from .gguf_header import names_of_blocks
from .gguf_store import GGUFStore, open_gguf, read_gguf_tensor
from .hub import FetchFile, hub_fetcher, hub_files
from .spec import LanguageModelSpec
from .stores import PickleStore, SafetensorsStore, TensorStore, read_index

#: What wrappers of a model put before the names of its tensors: torch.compile, DDP, PEFT.
_WRAPPERS = re.compile(r'_orig_mod\.|module\.|base_model\.model\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.|'
                       r'^model\.(?=model\.)')  # the last of Lightning's

_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)

# Safe formats first, one file before several: transformers' own order.
_SAFETENSORS, _PICKLE = 'model.safetensors', 'pytorch_model.bin'


class LanguageCheckpoint:
    """An opened language checkpoint: its config, its spec, and its blocks read on demand.

    Args:
        location: What the user wrote: hub id, folder or file.
        config: Hugging Face config fields.
        open_store: Opens the tensors; called when the first block is read, so that reading a config
            downloads no weights.
    """

    def __init__(self, location: str, config: Dict[str, Any],
                 open_store: Callable[[LanguageModelSpec], TensorStore]) -> None:
        self.location = location
        self.config = config
        self.spec = read_spec(config, where=location)
        self._open_store = open_store
        self._store: Optional[TensorStore] = None
        self._root = ''
        self._remedy = ('its metadata and its tensors contradict each other: use another file'
                        if location.lower().endswith('.gguf') else 'check that config.json belongs to these weights')

    @property
    def bytes_read(self) -> int:
        """Bytes of tensor data and headers read so far."""
        return self._store.bytes_read if self._store else 0

    def read_block(self, index: int) -> Dict[str, Tensor]:
        """Read one block, strictly.

        Args:
            index: Which block.

        Returns:
            dict[str, Tensor]: The block's tensors by canonical name, in the checkpoint's dtype.

        Raises:
            CheckpointError: If a tensor is missing, left over, of the wrong shape, or holds NaN or infinity.
        """
        store = self._opened_store()
        expected = block_tensors(self.spec, index)
        family = FAMILIES[self.spec.model_type]
        prefix = self._root + family.block_prefix.format(i=index)
        found = {name for name in store.names() if name.startswith(prefix)}
        ignored = {prefix + name for name in family.ignored}
        for name in expected:
            if self._root + name not in found:
                self._refuse_other_kinds(found)
                raise CheckpointError(f'{self.location}: tensor {self._root + name!r} is missing. A '
                                      f'{self.spec.model_type} block with this config has it; {self._remedy}.')
        left_over = sorted(found - ignored - {self._root + name for name in expected})
        if left_over:
            self._refuse_other_kinds(left_over)
            raise CheckpointError(
                f'{self.location}: tensor {left_over[0]!r} is left over ({len(left_over)} in block {index}): a '
                f'{self.spec.model_type} block with this config has no such part; {self._remedy}.')
        return self._read(expected)

    def read_part(self, part: str) -> Dict[str, Tensor]:
        """Read a part outside the blocks.

        Args:
            part: ``final_norm`` or ``position_table``.

        Returns:
            dict[str, Tensor]: Its tensors by canonical name, in the checkpoint's dtype.

        Raises:
            CheckpointError: If a tensor is missing, of the wrong shape, or holds NaN or infinity.
        """
        expected = model_tensors(self.spec, part)
        found = set(self._opened_store().names())
        for name in expected:
            if self._root + name not in found:
                raise CheckpointError(f'{self.location}: tensor {self._root + name!r} (the {part.replace("_", " ")}) is '
                                      f'missing. A {self.spec.model_type} checkpoint has it; use a complete one.')
        return self._read(expected)

    def files_of_block(self, index: int) -> List[str]:
        """Names of the files that hold a block."""
        return self._files_of(block_tensors(self.spec, index))

    def files_of_part(self, part: str) -> List[str]:
        """Names of the files that hold a part outside the blocks, ``final_norm`` or ``position_table``."""
        return self._files_of(model_tensors(self.spec, part))

    def _files_of(self, names: Iterable[str]) -> List[str]:
        store = self._opened_store()
        return sorted({store.file_of(self._root + name) for name in names})

    def _read(self, expected: Mapping[str, Tuple[int, ...]]) -> Dict[str, Tensor]:
        read = self._opened_store().read([self._root + name for name in expected])
        tensors = {name: read[self._root + name] for name in expected}
        for name, shape in expected.items():
            self._check_tensor(name, tensors[name], shape)
        return tensors

    def _check_tensor(self, name: str, tensor: Tensor, shape) -> None:
        where = f'{self.location}: tensor {self._root + name!r}'
        if tuple(tensor.shape) != tuple(shape):
            raise CheckpointError(f'{where} has shape {tuple(tensor.shape)}; the config says {tuple(shape)}; '
                                  f'{self._remedy}.')
        if tensor.dtype not in _FLOATS:
            raise CheckpointError(f'{where} is stored as {tensor.dtype}; expected a floating-point type of 16 bits or more. '
                                  'Use a checkpoint that is not quantised, or a GGUF file.')
        if tensor.dtype is torch.float64 and tensor.numel() and tensor.abs().max() > torch.finfo(torch.float32).max:
            raise CheckpointError(f'{where} holds numbers that float32 has no room for; expected weights of a model. The '
                                  'file is damaged; use another.')
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f'{where} holds NaN or infinity; expected finite numbers. The file is damaged or the '
                                  'model diverged; use another revision or checkpoint.')

    def _opened_store(self) -> TensorStore:
        if self._store is None:
            self._store = self._open_store(self.spec)
            self._root = self._find_root()
        return self._store

    def _refuse_other_kinds(self, names: Iterable[str]) -> None:
        """Name the true cause where tensors do not fit since the weights are quantised or an adapter's."""
        cause = diagnose(names)
        if cause:
            raise CheckpointError(f'{self.location}: {cause}')

    def _find_root(self) -> str:
        """What the names of tensors begin with before a family's own names: nothing, a model's root, or a wrapper's too."""
        family, names = FAMILIES[self.spec.model_type], list(self._store.names())
        block = '(.*?)' + re.escape(family.block_prefix).replace(r'\{i\}', r'\d+')
        starts = {found[1] for found in map(re.compile(block).match, names) if found}
        plain = {_WRAPPERS.sub('', start): start for start in sorted(starts, key=len, reverse=True)}
        for root in family.root_prefixes:
            if root in plain:
                return plain[root]
        self._refuse_other_kinds(names)
        example = next(iter(block_tensors(self.spec, 0)))
        raise CheckpointError(
            f"{self.location}: no tensor is named like a {self.spec.model_type} block ({example!r}, or so behind "
            f"{', '.join(filter(None, family.root_prefixes))}); found for example {names[0] if names else 'none'!r:.120}. "
            'These weights are of another family than the config says.')


def open_checkpoint(checkpoint: str, revision: Optional[str] = None) -> LanguageCheckpoint:
    """Open a language checkpoint; no weights are read yet.

    Args:
        checkpoint: A hub id (``openai-community/gpt2``), a folder in Hugging Face format, a GGUF file, or a GGUF file
            on the hub (``owner/name/file.gguf``).
        revision: Branch, tag or commit on the hub. Defaults to None, the default branch.

    Returns:
        LanguageCheckpoint: The opened checkpoint.

    Raises:
        CheckpointError: If nothing usable is found there.
    """
    if not isinstance(checkpoint, (str, Path)) or not str(checkpoint):
        raise CheckpointError(f'language.checkpoint={checkpoint!r}: expected a hub id, a folder or a GGUF file. Set '
                              "language.checkpoint, for example to 'openai-community/gpt2'.")
    location = str(checkpoint)
    path = Path(location).expanduser()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:
        raise CheckpointError(f'language.checkpoint={location!r:.80}: cannot be a path or a hub id ({error!s:.120}). '
                              'Correct it.') from None
    if is_folder:
        return _open_files(location, _folder_fetcher(path), lambda: [file.name for file in path.iterdir()])
    is_gguf = location.lower().endswith('.gguf')
    if is_file:
        if not is_gguf:
            raise CheckpointError(f'{location}: is a {path.suffix or "plain"} file; expected a folder with config.json '
                                  'and weights, or a .gguf file. Give the folder that holds it.')
        return _open_gguf(location, path)
    parts = location.split('/')
    if location.startswith(('.', '/', '~')) or len(parts) > 2 and not is_gguf:
        raise CheckpointError(f'{location}: no such file or folder. Expected a folder with config.json and weights, a '
                              '.gguf file, or a hub id such as openai-community/gpt2.')
    if is_gguf:
        if len(parts) < 3:
            raise CheckpointError(f'{location}: no such file. A GGUF file on the hub is written owner/name/file.gguf.')
        fetch, folder = hub_fetcher('/'.join(parts[:2]), revision), '/'.join(parts[2:-1])
        try:
            path = fetch('/'.join(parts[2:]))
        except FileNotFoundError:
            raise CheckpointError(f'{location}: the hub has the model but not this file. Correct the name; the '
                                  "model's page lists its files.") from None
        return _open_gguf(location, path, lambda name: fetch(f'{folder}/{name}' if folder else name))
    return _open_files(location, hub_fetcher(location, revision), lambda: hub_files(location, revision))


def _open_files(location: str, fetch: FetchFile, files: Callable[[], List[str]]) -> LanguageCheckpoint:
    """Open a checkpoint in Hugging Face format through a function that finds its files."""
    config = read_config(location, fetch, files)
    get_family(config.get('model_type'), location)

    def open_store(spec: LanguageModelSpec) -> TensorStore:
        unreachable = None
        for attempt in (lambda: SafetensorsStore.from_single(_SAFETENSORS, fetch),
                        lambda: SafetensorsStore(read_index(fetch(f'{_SAFETENSORS}.index.json')), fetch),
                        lambda: PickleStore({}, fetch, _PICKLE),
                        lambda: PickleStore(read_index(fetch(f'{_PICKLE}.index.json')), fetch)):
            try:
                return attempt()
            except FileNotFoundError:
                pass
            except UnreachableError as error:  # without a network, another form of the weights may be in the cache
                unreachable = unreachable or error
        raise unreachable or CheckpointError(
            f'{location}: has a config.json but no weights; expected {_SAFETENSORS}, its shards with '
            f'{_SAFETENSORS}.index.json, or {_PICKLE}. Fetch the weights too{_other_weights(location, files())}.')

    return LanguageCheckpoint(location, config, open_store)


def _other_weights(location: str, files: List[str]) -> str:
    """What else might have been meant by a checkpoint without weights that are read."""
    ggufs = sorted(file for file in files if file.lower().endswith('.gguf'))
    return f", or name its GGUF file: '{location.rstrip('/')}/{ggufs[0]}'" if ggufs else ''


def _open_gguf(location: str, path: Path, fetch: Optional[FetchFile] = None) -> LanguageCheckpoint:
    file = open_gguf(path, fetch)
    family = get_family(file.architecture, location)
    try:
        config = {'model_type': file.architecture, **family.gguf_config(file.metadata, names_of_blocks(file.tensors))}
    except KeyError as error:
        raise CheckpointError(f'{location}: its metadata lack {error} of a {file.architecture} model. The file was not '
                              'written for llama.cpp, or is damaged; use another.') from None
    except CheckpointError as error:
        raise CheckpointError(f'{location}: its metadata say {error}. Use the checkpoint in Hugging Face format, or another '
                              'model.') from None
    unread = next((name for name in ('rope_factors_long.weight', 'rope_factors_short.weight') if name in file.tensors), None)
    if unread:
        raise CheckpointError(f'{location}: has the tensor {unread!r}, a rotary rule that goes by the length of the '
                              'sequence; expected one for all. Use another model.')
    if 'rope_freqs.weight' in file.tensors:
        stored = file.tensors['rope_freqs.weight']
        if stored.size > 2**20:
            raise CheckpointError(f'{location}: rope_freqs.weight has {stored.size:,} bytes; expected one number for each '
                                  "of a head's frequencies. The file is damaged; use another.")
        config['rope_frequency_factors'] = read_gguf_tensor('rope_freqs.weight', stored).flatten().tolist()
    return LanguageCheckpoint(location, config, lambda spec: GGUFStore(file, spec))


def _folder_fetcher(folder: Path) -> FetchFile:

    def fetch(file: str) -> Path:
        path = folder / file
        if not path.is_file():
            raise FileNotFoundError(path)
        return path

    return fetch
