"""Features of captions, shard by shard."""
import argparse
from functools import partial
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import torch

from lbbt_mm.datasets.captions import open_captions
from lbbt_mm.files.feature_store import FeatureIndex, FeatureWriter, checksum
from lbbt_mm.files.feature_writer import refuse_other_files
from lbbt_mm.language.text_encoder import TextEncoder
from .store_work import fill


def run(args: argparse.Namespace) -> int:
    """Make them; returns the exit status.

    Args:
        args: The command line.
    """
    refuse_other_files(args.out)  # not when the model is loaded
    pairs = open_captions(args.captions).pairs
    encoder = TextEncoder(args.model, args.layer, args.pooling, args.dtype, args.device, args.revision)
    index = text_index(encoder.identity, encoder.width, pairs, args.shard_rows)
    writer = FeatureWriter(args.out, index, [key for key, _ in pairs])
    encode = partial(encode_texts, writer, index, [text for _, text in pairs], encoder, args.batch_tokens)
    return fill(writer, index, args, encode, 'captions')


def text_index(identity: Mapping[str, Any], width: int, pairs: Sequence[Tuple[str, str]],
               shard_rows: int = 8192) -> FeatureIndex:
    """What a store of texts' features is.

    Args:
        identity: Of what encodes them.
        width: Of its features.
        pairs: Key and text of each row.
        shard_rows: Rows in a shard. Defaults to 8192.
    """
    return FeatureIndex(kind='text', **identity, num_rows=len(pairs), width=width, shard_rows=shard_rows,
                        inputs=checksum((key, text.encode()) for key, text in pairs))


def encode_texts(writer: FeatureWriter, index: FeatureIndex, texts: Sequence[str], encoder: Any, batch_tokens: int,
                 numbers: Sequence[int]) -> Iterator[int]:
    """Write shards; a text that several rows of a shard have is encoded once.

    Args:
        writer: The store.
        index: What it holds.
        texts: Of all rows.
        encoder: A :class:`~lbbt_mm.language.text_encoder.TextEncoder`, or what has its ``batches``.
        batch_tokens: Tokens at once.
        numbers: Which shards.

    Yields:
        int: The number of features after each batch.
    """
    for number in numbers:
        rows = index.shard_range(number)
        places: Dict[str, List[int]] = {}
        for place, text in enumerate(texts[rows.start:rows.stop]):
            places.setdefault(text, []).append(place)
        distinct = list(places)
        # batches are those of a shard alone, so that its bytes do not depend on what was done before it
        features = torch.empty(len(rows), index.width)
        for batch, found in encoder.batches(distinct, batch_tokens):
            for row, feature in zip(batch, found):
                features[places[distinct[row]]] = feature
            yield sum(len(places[distinct[row]]) for row in batch)
        writer.write(number, features)
