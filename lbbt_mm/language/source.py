"""Opens a language checkpoint wherever it is (hub, folder, GGUF file) of whatever form."""
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional

from .checkpoint import LanguageCheckpoint
from .config_json import or_gguf, read_config
from .errors import CheckpointError, UnreachableError
from .families import get_family
from .gguf_fields import refuse_other_functions, rename
from .gguf_store import GGUFStore, open_gguf, read_gguf_tensor
from .hub import FetchFile, hub_fetcher, hub_files
from .spec import LanguageModelSpec
from .stores import FileStore, PickleFile, SafetensorsFile, TensorStore, read_index

# Safe formats first, one file before several: transformers' own order.
_SAFETENSORS, _PICKLE = 'model.safetensors', 'pytorch_model.bin'


class FoundCheckpoint(NamedTuple):
    """Where a language checkpoint is.

    Attributes:
        location: What the user wrote.
        gguf: The GGUF file; None for files in Hugging Face format.
        fetch: Gives the local path of a file beside, downloading it where it is on the hub; raises FileNotFoundError where
            there is none of that name.
        files: Lists the files there.
    """
    location: str
    gguf: Optional[Path]
    fetch: FetchFile
    files: Callable[[], List[str]]


def find_checkpoint(checkpoint: str, revision: Optional[str] = None) -> FoundCheckpoint:
    """Find a language checkpoint; of one on the hub, only a GGUF file is downloaded.

    Args:
        checkpoint: As :func:`open_checkpoint` takes it.
        revision: Branch, tag or commit on the hub. Defaults to None, the default branch.

    Raises:
        CheckpointError: If it can be no checkpoint, or a GGUF file is not there.
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
        return FoundCheckpoint(location, None, _folder_fetcher(path), lambda: [file.name for file in path.iterdir()])
    if is_file and path.suffix.lower() != '.gguf':
        raise CheckpointError(f'{location}: is a {path.suffix or "plain"} file; expected a folder with config.json '
                              'and weights, or a .gguf file. Give the folder that holds it.')
    if is_file:
        return FoundCheckpoint(location, path, _folder_fetcher(path.parent), lambda: [path.name])
    return _find_on_hub(location, revision)


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
    found = find_checkpoint(checkpoint, revision)
    if found.gguf is not None:
        return _open_gguf(found.location, found.gguf, found.fetch)
    return _open_files(found.location, found.fetch, found.files)


def _find_on_hub(location: str, revision: Optional[str]) -> FoundCheckpoint:
    """Find a repository on the hub, or a GGUF file there."""
    parts, is_gguf = location.split('/'), location.lower().endswith('.gguf')
    if location.startswith(('.', '/', '~')) or len(parts) > 2 and not is_gguf:
        raise CheckpointError(f'{location}: no such file or folder. Expected a folder with config.json and weights, a '
                              '.gguf file, or a hub id such as openai-community/gpt2.')
    if not is_gguf:
        return FoundCheckpoint(location, None, hub_fetcher(location, revision), lambda: hub_files(location, revision))
    if len(parts) < 3:
        raise CheckpointError(f'{location}: no such file. A GGUF file on the hub is written owner/name/file.gguf.')
    fetch, folder = hub_fetcher('/'.join(parts[:2]), revision), '/'.join(parts[2:-1])
    try:
        path = fetch('/'.join(parts[2:]))
    except FileNotFoundError:
        raise CheckpointError(f'{location}: the hub has the model but not this file. Correct the name; the '
                              "model's page lists its files.") from None
    return FoundCheckpoint(location, path, lambda name: fetch(f'{folder}/{name}' if folder else name), lambda: [path.name])


def _open_files(location: str, fetch: FetchFile, files: Callable[[], List[str]]) -> LanguageCheckpoint:
    """Open a checkpoint in Hugging Face format through a function that finds its files."""
    config = read_config(location, fetch, files)
    get_family(config.get('model_type'), location)

    def open_store(spec: LanguageModelSpec) -> TensorStore:
        """Open the weights, in whichever of the four forms they are."""
        unreachable = None
        for kind, name in ((SafetensorsFile, _SAFETENSORS), (PickleFile, _PICKLE)):
            for is_sharded in (False, True):
                try:
                    return FileStore(kind, fetch, read_index(fetch(f'{name}.index.json')) if is_sharded else name)
                except FileNotFoundError:
                    pass
                except UnreachableError as error:  # without a network, another form of the weights may be in the cache
                    unreachable = unreachable or error
        raise unreachable or CheckpointError(
            f'{location}: has a config.json but no weights; expected {_SAFETENSORS}, its shards with '
            f'{_SAFETENSORS}.index.json, or {_PICKLE}. Fetch the weights too{or_gguf(location, files())}.')

    return LanguageCheckpoint(location, config, open_store)


def _open_gguf(location: str, path: Path, fetch: FetchFile) -> LanguageCheckpoint:
    file = open_gguf(path, fetch)
    family = get_family(file.architecture, location)
    if family.architecture is None:
        raise CheckpointError(f'{location}: is a GGUF file of the family {file.architecture}; expected one that llama.cpp '
                              'has, which gives the tensors their names. Use the checkpoint in Hugging Face format.')
    try:
        refuse_other_functions(file.metadata)
        config = {'model_type': file.architecture, **family.complete_gguf(
            rename(file.metadata, family.gguf_names), file.metadata, file.tensors)}
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
