"""One process's share of a store of features, with its progress."""
import argparse
from typing import Callable, Iterator, List

from lbbt_mm.figures.progress import track
from lbbt_mm.files.feature_store import FeatureIndex, FeatureWriter


def fill(writer: FeatureWriter, index: FeatureIndex, args: argparse.Namespace, encode: Callable[[List[int]], Iterator[int]],
         what: str) -> int:
    """Write the shards that are missing and are this process's; returns the exit status.

    Args:
        writer: The store.
        index: What it holds.
        args: With ``out`` and ``shard_of``.
        encode: Writes shards, and gives the number of features after each batch.
        what: What the features are of.
    """
    share = args.shard_of
    own = [number for number in writer.missing if number % share.of == share.number]
    rows = sum(len(index.shard_range(number)) for number in own)
    if own:
        each = (None for done in encode(own) for _ in range(done))  # the bar counts features, not batches
        for _ in track(each, what, rows):
            pass
    before = index.num_rows - rows - sum(len(index.shard_range(number)) for number in writer.missing)
    said = f'{args.out}: {rows:,} features of {what} made' + (f', {before:,} were there' if before else '')
    if writer.finish():
        print(f'{said}. Complete: {index.num_rows:,} x {index.width} in {index.dtype}, {index.num_shards} '
              f'shard{"s" * (index.num_shards > 1)}.')
    else:
        print(f'{said}. {len(writer.missing)} of {index.num_shards} shards are left to other processes.')
    return 0
