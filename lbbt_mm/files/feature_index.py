"""What a store of features says of itself, and the files that it is made of."""
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch
from safetensors import SafetensorError, safe_open

from lbbt_mm.argument_checks import is_whole, whole_number

#: What tells the features of one model from those of another: fields of a store's index, and of a model's ``identity``.
OF_MODEL = ('model', 'revision', 'layer', 'pooling', 'dtype')
#: Names of a store's files beside its shards.
INDEX, KEYS = 'index.json', 'keys.json'
#: The one key of a shard's metadata: safetensors does not keep several in an order.
HEAD = 'lbbt_mm_features'
DTYPES = dict(float32=torch.float32, bfloat16=torch.bfloat16)
KINDS = ('image', 'text')
_FORMAT = 1
AGAIN = 'Run tools/precompute_features.py again, with the same options: it goes on where it was stopped.'


@dataclass(frozen=True)
class FeatureIndex:
    """What features are: where they come from, and how they lie on the disk.

    Args:
        kind: ``image`` or ``text``.
        model: The model that gave them, as the user named it.
        revision: What tells the model from others of this name: a checksum of its files, or a commit of the hub.
        layer: Which layer's output; -1 for what the whole model gives.
        pooling: How tokens became one vector.
        dtype: Of the numbers, ``float32`` or ``bfloat16``.
        inputs: Checksum (SHA-256) of what was encoded, in order; see :func:`checksum`.
        num_rows: How many features there are.
        width: How wide each is.
        shard_rows: Rows in a shard; the last may have fewer.

    Raises:
        ValueError: If a value cannot be.
    """
    kind: str
    model: str
    revision: str
    layer: int
    pooling: str
    dtype: str
    inputs: str
    num_rows: int
    width: int
    shard_rows: int

    def __post_init__(self) -> None:
        for name, allowed in (('kind', KINDS), ('dtype', tuple(DTYPES))):
            if getattr(self, name) not in allowed:
                raise ValueError(f'features: {name} is {getattr(self, name)!r:.60}; expected one of {", ".join(allowed)}')
        for name in ('num_rows', 'width', 'shard_rows'):
            found = getattr(self, name)
            if not is_whole(found, 1):
                raise ValueError(f'features: {name} is {found!r:.60}; expected {whole_number(1)}')

    @property
    def num_shards(self) -> int:
        """How many shards there are."""
        return -(-self.num_rows // self.shard_rows)

    def shard_range(self, number: int) -> range:
        """Rows of a shard.

        Args:
            number: Which one, from 0.
        """
        return range(number * self.shard_rows, min((number + 1) * self.shard_rows, self.num_rows))

    def shard_name(self, number: int) -> str:
        """File name of a shard.

        Args:
            number: Which one, from 0.
        """
        return f'shard-{number:05d}-of-{self.num_shards:05d}.safetensors'

    @property
    def of_model(self) -> Dict[str, Any]:
        """The fields of :data:`OF_MODEL`."""
        return {name: getattr(self, name) for name in OF_MODEL}

    def differences(self, expected: Mapping[str, Any]) -> List[str]:
        """How these features differ from what is expected, a phrase each.

        Args:
            expected: Some or all fields by name.
        """
        return [f'{name} {getattr(self, name)!r:.100} where {value!r:.100} is expected' for name, value in expected.items()
                if getattr(self, name) != value]


def other_features(stored: Mapping[str, Any], model: Mapping[str, Any], names: Sequence[str] = OF_MODEL) -> Optional[str]:
    """Which fact says that a model's features are not those that were stored.

    Args:
        stored: What a store says of its features; some of :data:`OF_MODEL`.
        model: What the model's own would be, before it is loaded: ``auto`` and layers counted from the end are open. Of a
            revision in parts, with dots between them, it may have the first ones alone.
        names: Which facts count. Defaults to all.

    Returns:
        str | None: Its name; None if whatever both say is the same.
    """
    shared = [name for name in names if name in stored and name in model]
    if 'revision' in shared and 'model' in shared:
        shared.remove('model')  # one that was moved or renamed is still the same
    layer = model.get('layer')
    open_yet = dict(pooling=model.get('pooling') == 'auto', layer=isinstance(layer, int) and layer < -1)
    if 'revision' in shared and f'{stored["revision"]}.'.startswith(f'{model["revision"]}.'):
        shared.remove('revision')
    return next((name for name in shared if stored[name] != model[name] and not open_yet.get(name)), None)


def checksum(inputs: Iterable[Tuple[str, bytes]]) -> str:
    """SHA-256 of what is encoded, with its keys and in its order.

    Args:
        inputs: Key and content of each row.
    """
    digest = hashlib.sha256()
    for key, content in inputs:
        name = key.encode()
        digest.update(b'%d %d\n' % (len(name), len(content)))  # so that nothing moves from one row to the next unseen
        digest.update(name)
        digest.update(content)
    return digest.hexdigest()


def keys_text(keys: List[str]) -> str:
    """Keys as they lie on the disk."""
    return json.dumps(keys, ensure_ascii=False)


def text_checksum(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for piece in iter(lambda: file.read(1 << 20), b''):
            digest.update(piece)
    return digest.hexdigest()


def write_head(index: FeatureIndex, keys: str, number: int) -> str:
    """What a shard says of itself.

    Args:
        index: Of its store.
        keys: Checksum of the store's keys.
        number: Which shard it is.
    """
    return json.dumps(dict(format=_FORMAT, **asdict(index), keys=keys, shard=number))


def read_head(path: Path) -> Tuple[FeatureIndex, str, int]:
    """What a shard says of itself.

    Args:
        path: The file.

    Returns:
        tuple: Index of its store, checksum of the store's keys, and which shard it is.

    Raises:
        ValueError: If it is no whole shard of features.
    """
    try:
        with safe_open(str(path), 'pt') as shard:
            text, names = (shard.metadata() or {}).get(HEAD), list(shard.keys())
        if text is None or names != ['features']:
            raise ValueError('it is no shard of features')
        head = json.loads(text)
        index, keys = read_fields(head)
        number = head['shard']
        if number not in range(index.num_shards):
            raise ValueError(f'it says that it is shard {number!r:.20}')
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError, OSError) as error:
        raise ValueError(f'{path}: cannot be read as a shard of features ({error!s:.200}). Something else wrote or cut it; '
                         f'move it away. {AGAIN}') from None
    return index, keys, number


def read_fields(found: Mapping[str, Any]) -> Tuple[FeatureIndex, str]:
    """Read an index, and the checksum of keys, from what JSON gave.

    Args:
        found: The object.

    Raises:
        ValueError: If it is of another format.
        KeyError: If something is not there.
        TypeError: If a value is of another type.
    """
    if found['format'] != _FORMAT:
        raise ValueError(f'it has format {found["format"]!r:.20}, and {_FORMAT} is read')
    for field in fields(FeatureIndex):
        if not isinstance(found[field.name], field.type):
            raise TypeError(f'its {field.name} is {found[field.name]!r:.60}')
    return FeatureIndex(**{field.name: found[field.name] for field in fields(FeatureIndex)}), str(found['keys'])


def index_text(index: FeatureIndex, keys: str, shards: List[Dict[str, Any]]) -> str:
    """The index file of a finished store.

    Args:
        index: What the features are.
        keys: Checksum of the keys.
        shards: File name, bytes and checksum of each.
    """
    return json.dumps(dict(format=_FORMAT, **asdict(index), keys=keys, shards=shards), indent=1) + '\n'


def found_shards(folder: Path) -> Iterator[Path]:
    """Whole shards of whatever store is in a folder."""
    return iter(sorted(folder.glob('shard-*-of-*.safetensors')))


def read_index(folder: Path) -> Tuple[FeatureIndex, str, List[Dict[str, Any]]]:
    """Read the index of a finished store.

    Args:
        folder: The store.

    Returns:
        tuple: The index, checksum of the keys, and ``file``, ``bytes`` and ``sha256`` of each shard.

    Raises:
        FileNotFoundError: If there is no store.
        ValueError: If it is half-written, or the index is damaged.
    """
    path = folder / INDEX
    if not path.is_file():
        half = _how_far(folder)
        if half:
            raise ValueError(f'{folder}: is a half-written store of features: {half}. {AGAIN}')
        raise FileNotFoundError(f'{folder}: has no {INDEX}; expected a store of features. Make one with '
                                'tools/precompute_features.py.')
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        index, keys = read_fields(found)
        shards = [dict(file=shard['file'], bytes=int(shard['bytes']), sha256=str(shard['sha256']))
                  for shard in found['shards']]
        names = [index.shard_name(number) for number in range(index.num_shards)]
        if [shard['file'] for shard in shards] != names:
            raise ValueError(f'it lists {len(shards)} shards that are not the {len(names)} of its rows')
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f'{error.args[0]} is not there' if isinstance(error, KeyError) else error
        raise ValueError(f'{path}: cannot be read as the index of a store of features ({reason!s:.200}). Move it away. '
                         f'{AGAIN}') from None
    return index, keys, shards


def _how_far(folder: Path) -> Optional[str]:
    shards = list(found_shards(folder))
    return f'{len(shards)} of its {read_head(shards[0])[0].num_shards} shards are there' if shards else None
