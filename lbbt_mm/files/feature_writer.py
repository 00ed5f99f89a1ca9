"""Writes a store of features shard by shard: it can be stopped at any time and go on, and several processes can share it."""
import os
from dataclasses import asdict
from pathlib import Path
from typing import List

import torch
from safetensors.torch import save
from torch import Tensor

from .feature_index import (DTYPES, HEAD, INDEX, KEYS, FeatureIndex, file_checksum, found_shards, index_text, keys_text,
                            read_head, read_index, text_checksum, write_head)
from .whole_files import remove_parts, whole_file, write_whole


class FeatureWriter:
    """A store that is being written.

    A shard is whole or not there. Its bytes depend on its features alone: not on how often the work was stopped, nor on how
    many processes shared it, as long as each shard's features are computed from its rows alone.

    Args:
        folder: Where to. What another call with the same arguments has done is kept.
        index: What the features are.
        keys: The sample that each row is of; a text store repeats the key of an image that has several captions.

    Raises:
        ValueError: If keys and rows are not one for one, or the folder holds other features or other files.
    """

    def __init__(self, folder: Path, index: FeatureIndex, keys: List[str]) -> None:
        self._folder, self._index = Path(folder), index
        if len(keys) != index.num_rows:
            raise ValueError(f'{folder}: {len(keys)} keys for {index.num_rows} features; expected one each.')
        empty = next((row for row, key in enumerate(keys) if not key or not isinstance(key, str)), None)
        if empty is not None:
            raise ValueError(f'{folder}: row {empty} has the key {keys[empty]!r:.60}; expected a text that is not empty.')
        self._keys = keys_text(keys)
        self._checksum = text_checksum(self._keys)
        self._check_shards()

    @property
    def missing(self) -> List[int]:
        """Numbers of the shards that are not there yet."""
        return [number for number in range(self._index.num_shards) if not self._path(number).exists()]

    def write(self, number: int, features: Tensor) -> None:
        """Write a shard.

        Args:
            number: Which one, from 0.
            features: ``(rows of the shard, C)``, of any floating type.

        Raises:
            ValueError: If they are not those of this shard by their shape, or not finite.
        """
        rows, width = self._index.shard_range(number), self._index.width
        if tuple(features.shape) != (len(rows), width):
            raise ValueError(f'{self._folder}: shard {number} is given features of shape {tuple(features.shape)}; expected '
                             f'{(len(rows), width)}.')
        features = features.detach().to('cpu', DTYPES[self._index.dtype]).contiguous()
        bad = (~torch.isfinite(features).all(1)).nonzero()
        if len(bad):
            raise ValueError(f'{self._folder}: the features of row {rows[int(bad[0])]} are not finite ({len(bad)} of the '
                             f'{len(rows)} rows of shard {number}). The model diverged or overflows in '
                             f'{self._index.dtype}; use another, or float32.')
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / INDEX).unlink(missing_ok=True)  # of this store, when it had all shards; it says what is in them
        with whole_file(self._path(number)) as file:
            file.write(save(dict(features=features), {HEAD: write_head(self._index, self._checksum, number)}))

    def finish(self) -> bool:
        """Write keys and index, if all shards are there.

        Returns:
            bool: Whether the store is finished; else other processes have still to write :attr:`missing`.
        """
        if self.missing:
            return False
        names = [self._index.shard_name(number) for number in range(self._index.num_shards)]
        if not (self._folder / INDEX).exists():  # write() removes that of earlier shards
            shards = [dict(file=name, bytes=os.path.getsize(self._folder / name),
                           sha256=file_checksum(self._folder / name)) for name in names]
            write_whole(self._folder / KEYS, self._keys)
            write_whole(self._folder / INDEX, index_text(self._index, self._checksum, shards))  # last: it says that all is
        remove_parts(self._folder, 'shard-*')
        return True

    def _path(self, number: int) -> Path:
        return self._folder / self._index.shard_name(number)

    def _check_shards(self) -> None:
        """Refuse to mix two stores, and to write among other files."""
        refuse_other_files(self._folder)
        if (self._folder / INDEX).exists():
            self._compare(self._folder / INDEX, *read_index(self._folder)[:2])
        for path in found_shards(self._folder):
            index, keys, number = read_head(path)
            self._compare(path, index, keys)
            if index.shard_name(number) != path.name:
                raise ValueError(f'{path}: is shard {number}, and has the name of another. Move it away.')

    def _compare(self, path: Path, index: FeatureIndex, keys: str) -> None:
        found = index.differences(asdict(self._index)) or (
            ['the keys of its rows are others'] if keys != self._checksum else [])
        if found:
            raise ValueError(f'{path}: is of other features: {"; ".join(found)}. Move that folder away, or give another.')


def refuse_other_files(folder: Path) -> None:
    """Refuse to write features among other files; asked before the work of making them.

    Args:
        folder: Where they are to go. Features of whatever store may be there, which :class:`FeatureWriter` looks into.

    Raises:
        ValueError: If it is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f'{folder}: is a file; expected a folder for features. Give another.')
    inside = list(folder.iterdir()) if folder.is_dir() else []
    ours = {INDEX, KEYS, *(path.name for path in found_shards(folder))}  # later: another process may have written a shard
    others = [path for path in inside if path.name not in ours and not path.name.endswith('.lbbt_mm.part')]
    if others:
        raise ValueError(f'{folder}: holds {others[0].name}, which is of no store of features; expected a folder of their '
                         'own. Give another.')
