"""Time LanguageSegmenterHead against mmseg's Segmenter head: same sizes, inputs, weights, dropouts and activation.

Both sides have drop path nowhere, and in training a dropout of 0.1 on attention output, hidden units and feed-forward
output; gradients go on to the features. The slide rows time all of a sliding-window inference of one image: mmseg's ViT-Tiny
encoder, the same before either head, and mmseg's resizing and adding up of logits, which are no matrix products, are in the
times of both.
"""
import argparse
import sys

from harness import LAYER_ROWS, Comparison, Row, require_multiple

from lbbt_mm.argument_types import count, size_pair


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse sizes that cannot be."""
    require_multiple(parser, args, width=64, crop=16)
    if not 0 < args.stride <= args.crop <= min(args.image):
        parser.error(f'--stride {args.stride}, --crop {args.crop}: expected 0 < stride <= crop <= both sides of --image')


BENCHMARK = Comparison(
    'segmenter_head', __doc__, repeats=8, sides='segmenter_sides', check=check,
    rows={
        **LAYER_ROWS,
        'slide': Row('sliding window fp32', False, False, 1., dict(slide=True)),
        'slide-bf16': Row('sliding window bf16', False, True, 1., dict(slide=True)),
    },
    sizes=dict(
        layers=(count, 2, 'of the heads'),
        width=(count, 768, 'of the heads, a multiple of 64'),
        classes=(count, 150, 'each of which is a token'),
        batch=(count, 2, 'images; one in the slide rows'),
        tokens=(size_pair, '32x32', 'feature map of an image'),
        image=(size_pair, '512x1024', 'pixels in the slide rows'),
        crop=(count, 512, 'height and width of a sliding window'),
        stride=(count, 480, 'from one window to the next')))

if __name__ == '__main__':
    sys.exit(BENCHMARK.run())
