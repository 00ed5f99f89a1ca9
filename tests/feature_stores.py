"""Small stores of features, of pictures and their captions."""
import json
import struct
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import torch
from torch import Tensor

from lbbt_mm.files.feature_store import FeatureIndex, FeatureWriter, checksum

#: Captions of five images, two each, in three shards.
KEYS = [f'image{row // 2}' for row in range(10)]
INDEX = FeatureIndex(kind='text', model='tiny', revision='abc', layer=-1, pooling='last', dtype='float32',
                     inputs=checksum((key, b'') for key in KEYS), num_rows=10, width=6, shard_rows=4)
FEATURES = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))


def write_shards(folder: Path, index: FeatureIndex = INDEX, numbers: Optional[Sequence[int]] = None) -> FeatureWriter:
    """Write some shards of the store of :data:`FEATURES`, by default those that are missing; it is not finished."""
    writer = FeatureWriter(folder, index, KEYS)
    for number in writer.missing if numbers is None else numbers:
        rows = index.shard_range(number)
        writer.write(number, FEATURES[rows.start:rows.stop])
    return writer


def write_store(folder: Path, kind: str, keys: Sequence[str], features: Tensor, shard_rows: int = 7,
                **fields: Any) -> Path:
    """Write features (rows, C) as a finished store."""
    index = dict(kind=kind, model=f'a-{kind}-model', revision='1', layer=-1, pooling='last', dtype='float32',
                 inputs='0' * 64, num_rows=len(features), width=features.shape[1], shard_rows=shard_rows)
    writer = FeatureWriter(folder, FeatureIndex(**{**index, **fields}), list(keys))
    for number in range(-(-len(features) // shard_rows)):
        writer.write(number, features[number * shard_rows:(number + 1) * shard_rows])
    assert writer.finish()
    return folder


def spoil(folder: Path, number: float, row: int) -> None:
    """Put a number in the place of the first feature of a row of a finished store of float32; the file's size stays."""
    index = json.loads((folder / 'index.json').read_text())
    shard, place = divmod(row, index['shard_rows'])
    path = folder / index['shards'][shard]['file']
    content = bytearray(path.read_bytes())
    head = 8 + int.from_bytes(content[:8], 'little')
    at = head + 4 * place * index['width']
    content[at:at + 4] = struct.pack('<f', number)
    path.write_bytes(content)


def write_pairs(folder: Path, num_images: int = 20, captions: Optional[List[int]] = None, image_width: int = 6,
                text_width: int = 10, noise: float = 0.3, seed: int = 0) -> Dict[str, str]:
    """Two stores whose texts are a linear map of the images, and noise; captions is how many each image has."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(num_images, image_width, generator=generator)
    counts = captions or [1] * num_images
    rows = torch.arange(num_images).repeat_interleave(torch.tensor(counts))
    text = image[rows] @ torch.randn(image_width, text_width, generator=generator)
    text += noise * torch.randn(text.shape, generator=generator)
    keys = [f'{index:04d}.png' for index in range(num_images)]
    return dict(image_store=str(write_store(folder / 'images', 'image', keys, image)),
                text_store=str(write_store(folder / 'texts', 'text', [keys[row] for row in rows], text)))
