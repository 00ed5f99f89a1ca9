"""Features of images, shard by shard."""
import argparse
from functools import partial
from typing import Iterator, List

import torch

from lbbt_mm.datasets.captions import open_captions
from lbbt_mm.figures.progress import track
from lbbt_mm.files.feature_store import FeatureIndex, FeatureWriter, checksum
from lbbt_mm.files.feature_writer import refuse_other_files
from .image_encoder import ImageEncoder, image_pipeline
from .image_sources import CaptionImages, Source, SplitImages, batches, contents
from .store_work import fill


def run(args: argparse.Namespace) -> int:
    """Make them; returns the exit status.

    Args:
        args: The command line.
    """
    refuse_other_files(args.out)  # not when all images are read
    captions = open_captions(args.captions, args.images) if args.captions else None
    encoder = ImageEncoder(args.model, args.pooling, args.dtype, args.device, args.cfg_options)
    label = encoder.identity['model']
    if captions:
        source: Source = CaptionImages(captions, image_pipeline(encoder.cfg, label), label)
    else:
        loader = encoder.cfg.get(f'{args.split}_dataloader')
        if not loader:
            raise ValueError(f'{label}: its config has no {args.split}_dataloader. Give another --split, or --captions.')
        source = SplitImages(loader['dataset'], f'{label}, {args.split}')
    width = encoder.features([source.image(0)]).shape[1]
    inputs = checksum(contents(source, partial(track, what='reading images')))
    index = FeatureIndex(kind='image', **encoder.identity, inputs=inputs, num_rows=len(source.keys), width=width,
                         shard_rows=args.shard_rows)
    writer = FeatureWriter(args.out, index, source.keys)

    def encode(numbers: List[int]) -> Iterator[int]:
        # batches are those of a shard alone, so that its bytes do not depend on what was done before it
        shards = [_batches(index.shard_range(number), args.batch_size) for number in numbers]
        images = batches(source, [rows for shard in shards for rows in shard], args.workers)
        for number, shard in zip(numbers, shards):
            features = []
            for rows in shard:
                features.append(encoder.features(next(images)))
                yield len(rows)
            writer.write(number, torch.cat(features))

    return fill(writer, index, args, encode, 'images')


def _batches(rows: range, size: int) -> List[List[int]]:
    return [list(rows[first:first + size]) for first in range(0, len(rows), size)]
