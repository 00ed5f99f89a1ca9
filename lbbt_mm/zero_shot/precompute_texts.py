"""Features of captions, shard by shard."""
import argparse
from typing import Iterator, List

import torch

from lbbt_mm.datasets.captions import open_captions
from lbbt_mm.files.feature_store import FeatureIndex, FeatureWriter, checksum
from lbbt_mm.language.text_encoder import TextEncoder
from .store_work import fill


def run(args: argparse.Namespace) -> int:
    """Make them; returns the exit status.

    Args:
        args: The command line.
    """
    pairs = open_captions(args.captions).pairs
    encoder = TextEncoder(args.model, args.layer, args.pooling, args.dtype, args.device, args.revision)
    index = FeatureIndex(kind='text', **encoder.identity, num_rows=len(pairs), width=encoder.width,
                         shard_rows=args.shard_rows, inputs=checksum((key, text.encode()) for key, text in pairs))
    writer = FeatureWriter(args.out, index, [key for key, _ in pairs])
    texts = [text for _, text in pairs]

    def encode(numbers: List[int]) -> Iterator[int]:
        for number in numbers:
            rows = index.shard_range(number)
            # batches are those of a shard alone, so that its bytes do not depend on what was done before it
            features = torch.empty(len(rows), index.width)
            for places, found in encoder.batches(texts[rows.start:rows.stop], args.batch_tokens):
                features[places] = found
                yield len(places)
            writer.write(number, features)

    return fill(writer, index, args, encode, 'captions')
