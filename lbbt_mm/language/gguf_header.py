"""The head of a GGUF file, read as what it is: input from others.

The ``gguf`` package's reader allocates and loops by numbers that the file gives, takes tensors that lie over each other, and
parses every token of the vocabulary. Here nothing is allocated before the file is seen to be large enough for it. Types,
block sizes and dequantisation are the package's. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""
import struct
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, NamedTuple, Tuple

from .byte_ranges import unreadable
from .errors import CheckpointError

_STRING, _ARRAY = 8, 9
#: How a single value of each type is packed; a bool is one byte.
_VALUES = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}
#: What no file of a language model comes near. The largest vocabularies have some hundred thousand tokens and merges.
_MOST_KEYS, _MOST_TENSORS, _MOST_ITEMS, _LONGEST_NAME, _MOST_DIMS = 2**16, 2**16, 2**20, 2**16, 4
#: Arrays and strings of the metadata that are kept; longer ones are passed over.
_KEPT_ITEMS, _KEPT_STRING = 64, 4096


class GGUFTensor(NamedTuple):
    """Where a tensor lies and what it is.

    Attributes:
        path: The file.
        shape: Its shape, as torch has it.
        kind: The ``gguf`` package's type of its data.
        start: Its first byte in the file.
        size: How many bytes.
    """
    path: Path
    shape: Tuple[int, ...]
    kind: Any
    start: int
    size: int


class GGUFHeader(NamedTuple):
    """What the head of one file says.

    Attributes:
        metadata: Key -> value; long arrays and strings, such as the vocabulary, are left out.
        tensors: Name -> place.
    """
    metadata: Dict[str, Any]
    tensors: Dict[str, GGUFTensor]


def read_header(path: Path) -> GGUFHeader:
    """Read and check the head of a GGUF file; those read last are kept.

    Raises:
        ImportError: If the ``gguf`` package is missing.
        CheckpointError: If the file is not a complete GGUF file.
    """
    found = path.stat()
    return _read_header(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=16)
def _read_header(path: Path, size: int, modified: int) -> GGUFHeader:
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise ImportError(f"{path}: reading GGUF files needs the package 'gguf': pip install gguf") from None
    try:
        with open(path, 'rb') as file:
            return _Parser(path, file, size).parse()
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, struct.error, OverflowError) as error:
        raise CheckpointError(f'{path}: not a complete GGUF file ({error}); found {size:,} bytes. The download was probably '
                              'cut off, or the file is damaged: delete it and fetch it again.') from None


class _Parser:
    """Reads the head from its first byte on; every number is checked against the bytes that are left."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self.file, self.size = path, file, size

    def parse(self) -> GGUFHeader:
        """Read all of it.

        Raises:
            ValueError: If a number cannot be; the message is a phrase that says which.
        """
        if self._bytes(4) != b'GGUF':
            raise ValueError('it does not begin with the letters GGUF')
        version = self._number('I')
        if version in (2 << 24, 3 << 24):
            raise ValueError('it is big-endian, and little-endian files are read; convert it with gguf-convert-endian')
        if version not in (2, 3):
            raise ValueError(f'it is of version {version}, and versions 2 and 3 are read')
        num_tensors = self._count('Q', 'tensors', _MOST_TENSORS, 24)
        num_keys = self._count('Q', 'metadata keys', _MOST_KEYS, 13)
        metadata = self._named(num_keys, 'key', lambda key: self._value(self._number('I')))
        tensors = self._named(num_tensors, 'tensor', self._tensor)
        alignment = metadata.get('general.alignment', 32)
        if not isinstance(alignment, int) or alignment not in [2**power for power in range(3, 21)]:
            raise ValueError(f'general.alignment is {alignment!r:.40}')
        begin = -(-self.file.tell() // alignment) * alignment
        self._check_places(tensors, begin, alignment)
        return GGUFHeader(metadata, {name: tensor._replace(start=begin + tensor.start) for name, tensor in tensors.items()})

    def _named(self, count: int, what: str, read: Callable[[str], Any]) -> Dict[str, Any]:
        """Names, each with what ``read`` finds behind it."""
        found: Dict[str, Any] = {}
        for _ in range(count):
            name = self._bytes(self._count('Q', f"letters of a {what}'s name", _LONGEST_NAME, 1)).decode('utf-8')
            if name in found:
                raise ValueError(f'it has the {what} {name[:80]!r} twice')
            found[name] = read(name)
        return found

    # ------------------------------------------------------------------------------------------ tensors
    def _tensor(self, name: str) -> GGUFTensor:
        """Shape, type and size of a tensor; its place is counted from the end of the head."""
        import gguf
        num_dims = self._number('I')
        if not 1 <= num_dims <= _MOST_DIMS:
            raise ValueError(f'{name[:80]!r} has {num_dims} dimensions')
        dims = struct.unpack(f'<{num_dims}Q', self._bytes(8 * num_dims))
        if not all(dims):
            raise ValueError(f'{name[:80]!r} has the sizes {list(dims)}')
        number = self._number('I')
        try:
            kind = gguf.GGMLQuantizationType(number)
        except ValueError:
            raise ValueError(f'{name[:80]!r} is of type {number}, which this version of the gguf package does not '
                             'know') from None
        block, width = gguf.GGML_QUANT_SIZES[kind]
        if dims[0] % block:
            raise ValueError(f'{name[:80]!r} has rows of {dims[0]}, and {kind.name} takes multiples of {block}')
        return GGUFTensor(self.path, dims[::-1], kind, self._number('Q'), prod(dims) // block * width)

    def _check_places(self, tensors: Dict[str, GGUFTensor], begin: int, alignment: int) -> None:
        """Each tensor has to lie in the file, and over no other."""
        end = 0
        for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)):
            if tensor.start % alignment or tensor.start < end:
                raise ValueError(f'{name[:80]!r} begins at byte {begin + tensor.start:,}, which lies in another tensor or '
                                 'is not aligned')
            end = tensor.start + tensor.size
            if begin + end > self.size:
                raise ValueError(f'{name[:80]!r} would end at byte {begin + end:,}')

    # ------------------------------------------------------------------------------------------- values
    def _value(self, kind: int, within: bool = False) -> Any:
        if kind in _VALUES:
            return self._number(_VALUES[kind])
        if kind == _STRING:
            length = self._count('Q', 'characters', self.size, 1)
            if length > _KEPT_STRING:
                return self._skip(length)
            return self._bytes(length).decode('utf-8', 'replace')
        if kind != _ARRAY or within:
            raise ValueError(f'it has a value of type {kind}' + (' in an array' if within else ''))
        return self._array()

    def _array(self) -> Any:
        kind = self._number('I')
        if kind == _STRING:
            for _ in range(self._count('Q', 'strings', _MOST_ITEMS, 8)):  # a vocabulary
                self._skip(self._count('Q', 'characters', self.size, 1))
            return None
        if kind not in _VALUES:
            raise ValueError(f'it has an array of type {kind}')
        width = struct.calcsize('<' + _VALUES[kind])
        count = self._count('Q', 'numbers', self.size, width)
        if count > _KEPT_ITEMS:
            return self._skip(count * width)
        return list(struct.unpack(f'<{count}{_VALUES[kind]}', self._bytes(count * width)))

    def _count(self, letter: str, what: str, most: int, width: int) -> int:
        """How many things of at least ``width`` bytes follow."""
        count = self._number(letter)
        if count > most or count * width > self._left():
            raise ValueError(f'it announces {count:,} {what}')
        return count

    def _number(self, letter: str) -> Any:
        return struct.unpack('<' + letter, self._bytes(struct.calcsize('<' + letter)))[0]

    def _bytes(self, count: int) -> bytes:
        found = self.file.read(count)
        if len(found) < count:
            raise ValueError(f'it ends at byte {self.file.tell():,}, within its head')
        return found

    def _skip(self, count: int) -> None:
        self.file.seek(count, 1)

    def _left(self) -> int:
        return self.size - self.file.tell()
