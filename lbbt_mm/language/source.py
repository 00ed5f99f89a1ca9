"""Opens a language checkpoint wherever it is (hub, folder, GGUF file) and reads the chosen blocks only."""
import json
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from .families import FAMILIES, block_tensors, get_family, model_tensors, read_spec
from .file_names import check_file_name
from .gguf_store import GGUFStore, open_gguf
from .spec import LanguageModelSpec
from .stores import (CheckpointError, FetchFile, PickleStore, SafetensorsStore, TensorStore, UnreachableError,
                     read_index)

# In the order of preference: safe formats first.
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
                raise CheckpointError(f'{self.location}: tensor {self._root + name!r} is missing. A '
                                      f'{self.spec.model_type} block with this config has it; check that config.json '
                                      'belongs to these weights.')
        left_over = sorted(found - ignored - {self._root + name for name in expected})
        if left_over:
            raise CheckpointError(
                f'{self.location}: tensor {left_over[0]!r} is left over ({len(left_over)} in block {index}): a '
                f'{self.spec.model_type} block with this config has no such part. Check that config.json belongs to '
                'these weights.')
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
            raise CheckpointError(f'{where} has shape {tuple(tensor.shape)}; the config says {tuple(shape)}. Check '
                                  'that config.json belongs to these weights.')
        if not torch.is_floating_point(tensor):
            raise CheckpointError(f'{where} is stored as {tensor.dtype}; expected a floating-point type. Use a '
                                  'checkpoint that is not quantised, or a GGUF file.')
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f'{where} holds NaN or infinity; expected finite numbers. The file is damaged or the '
                                  'model diverged; use another revision or checkpoint.')

    def _opened_store(self) -> TensorStore:
        if self._store is None:
            self._store = self._open_store(self.spec)
            self._root = self._find_root()
        return self._store

    def _find_root(self) -> str:
        family = FAMILIES[self.spec.model_type]
        names = list(self._store.names())
        for root in family.root_prefixes:
            start = root + family.block_prefix.format(i=0)
            if any(name.startswith(start) for name in names):
                return root
        example = next(iter(block_tensors(self.spec, 0)))
        raise CheckpointError(
            f"{self.location}: no tensor is named like a {self.spec.model_type} block ({example!r}); found for example "
            f"{names[0] if names else 'none'!r}. These weights are of another family than the config says.")


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
    if path.is_dir():
        return _open_files(location, _folder_fetcher(path))
    if path.is_file():
        if path.suffix != '.gguf':
            raise CheckpointError(f'{location}: is a {path.suffix or "plain"} file; expected a folder with config.json '
                                  'and weights, or a .gguf file. Give the folder that holds it.')
        return _open_gguf(location, path)
    parts = location.split('/')
    if location.startswith(('.', '/', '~')) or len(parts) > 2 and not location.endswith('.gguf'):
        raise CheckpointError(f'{location}: no such file or folder. Expected a folder with config.json and weights, a '
                              '.gguf file, or a hub id such as openai-community/gpt2.')
    if location.endswith('.gguf'):
        if len(parts) < 3:
            raise CheckpointError(f'{location}: no such file. A GGUF file on the hub is written owner/name/file.gguf.')
        try:
            path = hub_fetcher('/'.join(parts[:2]), revision)('/'.join(parts[2:]))
        except FileNotFoundError:
            raise CheckpointError(f'{location}: the hub has the model but not this file. Correct the name; the '
                                  "model's page lists its files.") from None
        return _open_gguf(location, path)
    return _open_files(location, hub_fetcher(location, revision))


def _open_files(location: str, fetch: FetchFile) -> LanguageCheckpoint:
    """Open a checkpoint in Hugging Face format through a function that finds its files."""
    try:
        path = fetch('config.json')
    except FileNotFoundError:
        raise CheckpointError(f'{location}: has no config.json; expected a checkpoint in Hugging Face format. Add the '
                              "model's config.json, or point language.checkpoint at the folder that holds it.") from None
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(config, dict):
            raise ValueError(f'it holds a {type(config).__name__}')
    except ValueError as error:
        raise CheckpointError(f'{location}: config.json is not a JSON object ({error}). Fetch it again.') from None
    get_family(config.get('model_type'), location)

    def open_store(spec: LanguageModelSpec) -> TensorStore:
        unreachable = None
        for attempt in (lambda: SafetensorsStore(read_index(fetch(f'{_SAFETENSORS}.index.json')), fetch),
                        lambda: SafetensorsStore.from_single(_SAFETENSORS, fetch),
                        lambda: PickleStore(read_index(fetch(f'{_PICKLE}.index.json')), fetch),
                        lambda: PickleStore({}, fetch, _PICKLE)):
            try:
                return attempt()
            except FileNotFoundError:
                pass
            except UnreachableError as error:  # without a network, another form of the weights may be in the cache
                unreachable = unreachable or error
        raise unreachable or CheckpointError(
            f'{location}: has a config.json but no weights; expected {_SAFETENSORS}, its shards with '
            f'{_SAFETENSORS}.index.json, or {_PICKLE}. Fetch the weights too.')

    return LanguageCheckpoint(location, config, open_store)


def _open_gguf(location: str, path: Path) -> LanguageCheckpoint:
    file = open_gguf(path)
    family = get_family(file.architecture, location)
    try:
        config = {'model_type': file.architecture, **family.gguf_config(file.metadata)}
    except KeyError as error:
        raise CheckpointError(f'{location}: its metadata lack {error} of a {file.architecture} model. The file was not '
                              'written for llama.cpp, or is damaged; use another.') from None
    return LanguageCheckpoint(location, config, lambda spec: GGUFStore(file, spec))


def _folder_fetcher(folder: Path) -> FetchFile:

    def fetch(file: str) -> Path:
        path = folder / file
        if not path.is_file():
            raise FileNotFoundError(path)
        return path

    return fetch


def hub_fetcher(repo_id: str, revision: Optional[str] = None) -> FetchFile:
    """A function that downloads files of a hub repository through huggingface_hub's cache.

    The first file settles the commit; all others come from the same one, whatever is pushed meanwhile, and those that
    the cache has (or knows to be absent) are not asked for again.

    Args:
        repo_id: For example ``openai-community/gpt2``.
        revision: Branch, tag or commit.

    Returns:
        Callable: ``fetch(file) -> path``; raises FileNotFoundError for a file that the repository does not have and
        CheckpointError where the repository itself cannot be reached.
    """
    from huggingface_hub import _CACHED_NO_EXIST, errors, hf_hub_download, try_to_load_from_cache
    where = repo_id + (f' at revision {revision!r}' if revision else '')
    commit = None

    def fetch(file: str) -> Path:
        nonlocal commit
        try:
            check_file_name(file)
        except ValueError as error:
            raise CheckpointError(f'{where}: {error}; expected the name of a file of that repository. Correct '
                                  'language.checkpoint.') from None
        if commit and try_to_load_from_cache(repo_id, file, revision=commit) is _CACHED_NO_EXIST:
            raise FileNotFoundError(f'{where}/{file}')
        try:
            path = Path(hf_hub_download(repo_id, file, revision=commit or revision))
            commit = path.parents[file.count('/')].name  # the cache keeps files under snapshots/<commit>
            return path
        except errors.LocalEntryNotFoundError as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else 'no connection'
            raise UnreachableError(
                f'{where}: neither a local path nor in the cache ({file} is missing), and the hub cannot be reached '
                f'({cause}). Check the name and the network, or give language.checkpoint a folder that holds the '
                'model; building and testing need only language.config.') from None
        except errors.EntryNotFoundError:
            raise FileNotFoundError(f'{where}/{file}') from None
        except errors.GatedRepoError:
            raise CheckpointError(f'{where}: is gated. Accept its licence on the hub and log in (hf auth login), or '
                                  'choose an open model.') from None
        except errors.RevisionNotFoundError:
            raise CheckpointError(f'{where}: the hub has the model but not this revision. Correct language.revision.'
                                  ) from None
        except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
            reason = str(error).strip().split('\n')[0]
            raise CheckpointError(f'{where}: the hub has no such model, and no such file or folder is here ({reason}). '
                                  'Correct language.checkpoint, or log in if the model is private.') from None
        except (errors.HfHubHTTPError, OSError) as error:
            reason = str(error).strip().split('\n')[0]
            raise CheckpointError(f'{where}: the hub did not give {file} ({type(error).__name__}: {reason}). Check the '
                                  'network, or give language.checkpoint a folder that holds the model.') from None

    return fetch
