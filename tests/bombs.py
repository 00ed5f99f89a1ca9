"""Pickles of some hundred bytes that would keep whoever reads them busy for ever, or end its process."""
import zipfile
from pathlib import Path
from typing import Dict

import torch

_PAIRS = b'K\x01' + b'q\x00h\x00\x86' * 60  # a tuple of the one before, twice
_WIDE = b'(' * 4 + b'K\x01' + (b'q\x00' + b'h\x00' * 1000 + b't') * 4
_DEEP = b'K\x01' + b'\x85' * 300_000
_LISTS = b']K\x01a' + b'q\x00]h\x00ah\x00a' * 60
_AFTERWARDS = b''.join(b']q%c' % index for index in range(41)) + b''.join(
    b'h%ch%cah%ca' % (index, index + 1, index + 1) for index in range(40)) + b'h\x00'


def _as_key(made: bytes) -> bytes:
    return b'}' + made + b'K\x01s'


def _call(name: bytes, argument: bytes) -> bytes:
    return b'c' + name.replace(b'.', b'\n') + b'\n' + argument + b'\x85R'


_MANY_BYTES = _call(b'__builtin__.bytearray', b'\x8a\x05\x00\xe4\x0bT\x02')  # 10^10

#: Name -> a pickle that is one.
BOMBS: Dict[str, bytes] = {name: b'\x80\x02' + content + b'.' for name, content in dict(
    tuples=_PAIRS,
    key=_as_key(_PAIRS),
    key_of_a_wide_one=_as_key(_WIDE),
    key_of_a_deep_one=_as_key(_DEEP),
    lists=_LISTS,
    lists_that_are_filled_afterwards=_AFTERWARDS,
    set=_call(b'__builtin__.set', b']' + _PAIRS + b'a'),
    frozenset=_call(b'__builtin__.frozenset', b']' + _PAIRS + b'a'),
    counter=_call(b'collections.Counter', b']' + _PAIRS + b'a'),
    encoded=_call(b'__builtin__.bytearray', _PAIRS),
    stored=b'(X\x07\x00\x00\x00storagectorch\nFloatStorage\n' + _PAIRS + b'X\x03\x00\x00\x00cpuK\x01tQ',
    set_of_a_number=_call(b'__builtin__.set', _MANY_BYTES),
).items()}


def write_bomb(path: Path, name: str, legacy: bool = False) -> Path:
    """Write a file as ``torch.save`` does, with such a pickle in it.

    Args:
        path: The file.
        name: Key of :data:`BOMBS`.
        legacy: Whether in the format before torch 1.6.
    """
    torch.save('', path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    plain = b'\x80\x02X\x00\x00\x00\x00q\x00.'
    assert plain in content
    if legacy:
        path.write_bytes(content.replace(plain, BOMBS[name]))
        return path
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for entry, data in entries.items():
            archive.writestr(entry, BOMBS[name] if entry.endswith('/data.pkl') else data)
    return path
