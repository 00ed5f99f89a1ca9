"""Features of frozen models that were computed once, read from memory-mapped files.

A folder with shards of ``features`` as safetensors, ``keys.json`` (the sample that each row is of) and ``index.json`` (what
they are, and the checksum of each shard), which is written last. Every shard says itself what it is part of, so a shard of
another store is noticed.
"""
import json
from pathlib import Path
from typing import Any, Dict, List, Union

import numpy as np
import torch
from torch import Tensor

from lbbt_mm.errors import UserError
from lbbt_mm.language.stores import SafetensorsFile
from .feature_index import (AGAIN, DTYPES, INDEX, KEYS, FeatureIndex, checksum, file_checksum, read_head, read_index,
                            text_checksum)
from .feature_writer import FeatureWriter

__all__ = ['FeatureError', 'FeatureIndex', 'FeatureStore', 'FeatureWriter', 'checksum']


class FeatureError(UserError):
    """Features in a store's files cannot be used; they were sound when it was written."""


class FeatureStore:
    """A finished store; made by :meth:`open`.

    Its numbers stay on the disk, and the system keeps in memory what is read often. Processes that load data share them.

    Attributes:
        folder: Where it is.
        index: What its features are.
        keys: The sample that each row is of.
    """

    def __init__(self, folder: Path, index: FeatureIndex, keys: List[str], shards: List[Dict[str, Any]]) -> None:
        self.folder, self.index, self.keys, self._shards = folder, index, keys, shards
        self._maps: Dict[int, Tensor] = {}

    @classmethod
    def open(cls, folder: Union[str, Path], **expected: Any) -> 'FeatureStore':
        """Open a store; no features are read.

        Args:
            folder: Where it is.
            **expected: Fields of :class:`FeatureIndex` that it has to have, such as ``kind='text'`` or ``model``.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is half-written or damaged, holds a foreign shard, or has other features than expected.
        """
        folder = Path(folder)
        index, keys, shards = read_index(folder)
        differing = index.differences(expected)
        if differing:
            raise ValueError(f'{folder}: holds other features: {"; ".join(differing)}. Give another store, or make this one '
                             'with tools/precompute_features.py.')
        for number, shard in enumerate(shards):
            _check_shard(folder / shard['file'], index, keys, number, shard['bytes'])
        return cls(folder, index, _read_keys(folder / KEYS, keys, index.num_rows), shards)

    def __len__(self) -> int:
        return self.index.num_rows

    def __getstate__(self) -> Dict[str, Any]:
        """A process that data is loaded in maps the files itself; pickled, a map would be a copy of all features."""
        return {**self.__dict__, '_maps': {}}

    def rows(self, indices: Tensor) -> Tensor:
        """Read rows.

        Args:
            indices: Which ones, ``(n, )``, in any order and also several times.

        Returns:
            Tensor: ``(n, C)``, float32.

        Raises:
            FeatureError: If features are not finite; the message names the row.
            IndexError: If there is no such row.
        """
        indices = torch.as_tensor(indices, dtype=torch.long)
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < len(self):
            wrong = indices[(indices < 0) | (indices >= len(self))][0]
            raise IndexError(f'{self.folder}: row {int(wrong)} is asked for; expected 0 to {len(self) - 1}')
        ordered, order = indices.sort()  # the disk is read from front to back
        found = torch.empty(len(indices), self.index.width)
        for number in ordered.div(self.index.shard_rows, rounding_mode='floor').unique().tolist():
            rows = self.index.shard_range(number)
            first, last = torch.searchsorted(ordered, torch.tensor([rows.start, rows.stop])).tolist()
            found[order[first:last]] = self._map(number)[ordered[first:last] - rows.start].float()
        self._refuse_what_is_no_number(found, indices)
        return found

    def fault_of(self, number: int) -> str:
        """Read a shard to its end and compare its checksum.

        Args:
            number: Which one, from 0.

        Returns:
            str: What is wrong if its bytes have changed since they were written; else empty.
        """
        shard = self._shards[number]
        if file_checksum(self.folder / shard['file']) == shard['sha256']:
            return ''
        return (f'{self.folder / shard["file"]}: has another checksum than {INDEX} says; its numbers have changed. Move the '
                f'shard and {INDEX} away. {AGAIN}')

    def _refuse_what_is_no_number(self, features: Tensor, rows: Tensor) -> None:
        if torch.isfinite(features.sum()):  # one pass; which row it is takes another
            return
        bad = (~torch.isfinite(features).all(1)).nonzero().flatten()
        if len(bad):  # finite ones may have a sum that is not
            row = int(rows[bad[0]])
            raise FeatureError(f'{self.folder}: the features of row {row} ({self.keys[row]!r:.120}) are not finite numbers; '
                               'expected those that were written. Move the store away, and make it again.')

    def _map(self, number: int) -> Tensor:
        """A shard's features, in the file."""
        if number not in self._maps:
            file = SafetensorsFile(self.folder / self._shards[number]['file'])
            start, _ = file.names['features']['data_offsets']
            shape = len(self.index.shard_range(number)), self.index.width
            dtype = DTYPES[self.index.dtype]
            # c: changes, which nobody makes, would stay in memory; torch warns of maps that are read-only.
            # numpy has no bfloat16, so whole numbers of its size stand for it.
            mapped = np.memmap(file.path, np.dtype(f'i{dtype.itemsize}'), 'c', file.head_size + start, shape)
            self._maps[number] = torch.from_numpy(mapped).view(dtype)
        return self._maps[number]


def _read_keys(path: Path, expected: str, num_rows: int) -> List[str]:
    try:
        text = path.read_text(encoding='utf-8')
        keys = json.loads(text)
    except (OSError, ValueError, RecursionError):
        text, keys = '', []
    if text_checksum(text) != expected or len(keys) != num_rows:
        raise ValueError(f'{path}: is not the list of keys that {INDEX} was written with. Move {INDEX} away. {AGAIN}')
    return keys


def _check_shard(path: Path, index: FeatureIndex, keys: str, number: int, size: int) -> None:
    if not path.is_file():
        raise ValueError(f'{path}: is not there; expected shard {number} of {index.num_shards}. Move {INDEX} away. {AGAIN}')
    if path.stat().st_size != size:
        raise ValueError(f'{path}: has {path.stat().st_size:,} bytes; expected {size:,}. It was cut or written again; move '
                         f'it and {INDEX} away. {AGAIN}')
    if read_head(path) != (index, keys, number):
        raise ValueError(f'{path}: is a shard of another store; expected shard {number} of this one. Move it and {INDEX} '
                         f'away. {AGAIN}')
