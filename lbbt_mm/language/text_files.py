"""The files of a whole language model with its tokenizer, found and checked before anything is loaded.

Weights are safetensors or GGUF, never pickles; no code of the checkpoint is run.
"""
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from .config_json import or_gguf, read_config
from .errors import CheckpointError, UnreachableError
from .gguf_header import read_header
from .gguf_store import open_gguf
from .source import FoundCheckpoint, find_checkpoint
from .spec_checks import check_block_count
from .stores import SafetensorsFile, read_index

_WEIGHTS, _INDEX = 'model.safetensors', 'model.safetensors.index.json'
#: Any of these is a whole vocabulary; the others belong to one.
_VOCABULARIES = ('tokenizer.json', 'tokenizer.model', 'vocab.json', 'vocab.txt', 'spiece.model', 'sentencepiece.bpe.model')
_OF_TOKENIZERS = ('tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json', 'merges.txt')


class TextFiles(NamedTuple):
    """A language model and its tokenizer, on this machine.

    Attributes:
        location: What the user wrote.
        paths: Files that the model depends on.
        gguf: The GGUF file; None for a folder in Hugging Face format.
        metadata: What the head of the GGUF file says; empty for a folder.
    """
    location: str
    paths: List[Path]
    gguf: Optional[Path]
    metadata: Dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.paths[0].parent


def find_text_model(checkpoint: str, revision: Optional[str] = None) -> TextFiles:
    """Find a language model with its tokenizer; of one on the hub, the files that are needed are downloaded.

    Args:
        checkpoint: A folder in Hugging Face format with safetensors, a GGUF file, or either on the hub.
        revision: Branch, tag or commit on the hub. Defaults to None, the default branch.

    Raises:
        CheckpointError: If weights or tokenizer are not there, or of a form that is not read.
    """
    found = find_checkpoint(checkpoint, revision)
    return _gguf_files(found) if found.gguf else _plain_files(found)


def _gguf_files(found: FoundCheckpoint) -> TextFiles:
    parts = sorted({tensor.path for tensor in open_gguf(found.gguf, found.fetch).tensors.values()})
    metadata = read_header(found.gguf).metadata
    if 'tokenizer.ggml.model' not in metadata:
        raise CheckpointError(f'{found.location}: has no tokenizer (tokenizer.ggml.model); a language model reads captions '
                              'with its own. Use another file of this model.')
    return TextFiles(found.location, [found.gguf, *(part for part in parts if part != found.gguf)], found.gguf, metadata)


def _plain_files(found: FoundCheckpoint) -> TextFiles:
    where = found.location
    config = read_config(where, found.fetch, found.files)
    check_block_count(config, where)
    if config.get('is_encoder_decoder'):
        raise CheckpointError(f'{where}: is an encoder with a decoder; expected one stack of blocks. Choose another.')
    unreachable: List[UnreachableError] = []
    fetch = partial(_fetch_if_there, found, unreachable)
    weights = [fetch(_WEIGHTS)]
    if weights == [None]:
        index = fetch(_INDEX)
        if index is None:
            raise unreachable[0] if unreachable else CheckpointError(
                f'{where}: has no {_WEIGHTS} and no {_INDEX}; expected weights as safetensors, others are not loaded as a '
                f'whole model. Convert it (from_pretrained, then save_pretrained){or_gguf(where, found.files())}.')
        shards = {name: fetch(name) for name in sorted(set(read_index(index).values()))}
        absent = next((name for name, path in shards.items() if path is None), None)
        if absent:
            raise CheckpointError(f'{where}: the index names the shard {absent!r}, which is not there. Fetch this file too.')
        weights = list(shards.values())
    for path in weights:
        SafetensorsFile(path)  # its header is checked
    vocabulary = list(filter(None, map(fetch, _VOCABULARIES)))
    if not vocabulary:
        raise unreachable[0] if unreachable else CheckpointError(
            f'{where}: has no tokenizer (none of {", ".join(_VOCABULARIES)}); a language model reads captions with its own. '
            'Put the files of its tokenizer into the folder.')
    others = list(filter(None, map(fetch, _OF_TOKENIZERS)))
    return TextFiles(where, [found.fetch('config.json'), *weights, *vocabulary, *others], None, {})


def _fetch_if_there(found: FoundCheckpoint, unreachable: List[UnreachableError], name: str) -> Optional[Path]:
    """A file, or None where there is none; without a network, one that is not in the cache may not exist either."""
    try:
        return found.fetch(name)
    except FileNotFoundError:
        return None
    except UnreachableError as error:
        unreachable.append(error)
        return None
