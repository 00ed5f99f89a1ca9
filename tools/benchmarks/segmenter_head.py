"""Time LanguageSegmenterHead against mmseg's Segmenter head: same sizes, inputs, weights, dropouts and activation.

Each row runs in a process of its own, and its contenders take turns (see ``detr_layers.py``). Both sides have drop path
nowhere, and in training a dropout of 0.1 on attention output, hidden units and feed-forward output; gradients go on to
the features. The slide rows time all of a sliding-window inference of one image: mmseg's ViT-Tiny encoder, the same before
either head, and mmseg's resizing and adding up of logits, which are no matrix products, are in the times of both.
"""
import argparse
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, List, Tuple

import torch
from benchmark_report import fact_lines, machine_facts, refuse_other_report, write_report
from interleaved_rounds import (CLOCKS, FLOOR, Contender, add_timing_options, compare, in_fresh_process, table,
                                time_rounds)
from matrix_floor import floor_call, giga_flops
from segmenter_contenders import (OURS, STOCK, Features, HeadSize, Image, SlideSize, build_heads, build_segmentors,
                                  encoder_cfg, head_work, slide_work)

from lbbt_mm.argument_types import count, size_pair

PROJ_DROP = 0.1


@dataclass(frozen=True)
class Row:
    """What is measured in one go.

    Args:
        title: Name in the table.
        training: Forward and backward, or forward alone in evaluation mode.
        bf16: Under bfloat16 autocast, or in float32.
        wanted: How many times as fast as mmseg's ours is meant to be.
        attn_drop: Dropout rate of attention weights on both sides.
        slide: Sliding-window inference of a whole segmentor, or the head alone.
    """
    title: str
    training: bool
    bf16: bool
    wanted: float
    attn_drop: float = 0.
    slide: bool = False


ROWS = {
    'train': Row('training fp32, attn drop 0', True, False, 1.15),
    'train-drop': Row('training fp32, attn drop 0.1', True, False, 1., 0.1),
    'infer': Row('inference fp32', False, False, 1.15),
    'train-bf16': Row('training bf16, attn drop 0', True, True, 1.),
    'train-bf16-drop': Row('training bf16, attn drop 0.1', True, True, 1., 0.1),
    'infer-bf16': Row('inference bf16', False, True, 10.),
    'slide': Row('sliding window fp32', False, False, 1., slide=True),
    'slide-bf16': Row('sliding window bf16', False, True, 1., slide=True),
}


def build_contenders(row: Row, size: HeadSize, slide: SlideSize) -> Tuple[float, Dict[str, Callable[[], None]]]:
    """All that take turns in a row: mmseg's side, ours, and the floor.

    Returns:
        tuple[float, dict]: GFLOP in matrix products, and the calls by name.
    """
    if row.slide:
        inputs, models, work = Image(slide), build_segmentors(size, slide), slide_work(size, slide)
    else:
        inputs, models, work = Features(size), build_heads(size, row.attn_drop, PROJ_DROP), head_work(size)
    calls: Dict[str, Callable[[], None]] = {
        name: Contender(model, partial(inputs.run, model), row.training, row.bf16, partial(inputs.clear_gradients, model))
        for name, model in models.items()}
    products = work.all if row.training else work.forward
    calls[FLOOR] = floor_call(products, torch.bfloat16 if row.bf16 else torch.float32)
    return giga_flops(products), calls


def measure_row(row: Row, size: HeadSize, slide: SlideSize, repeats: int, threads: int,
                clock: str) -> Tuple[float, Dict[str, List[float]]]:
    """Build and time a row's contenders.

    Returns:
        tuple[float, dict]: GFLOP in matrix products, and the seconds by contender.
    """
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    flops, calls = build_contenders(row, size, slide)
    print(f'{row.title}: {flops:.0f} GFLOP in products', flush=True)
    return flops, time_rounds(calls, repeats, CLOCKS[clock])


@torch.no_grad()
def largest_difference(size: HeadSize, threads: int) -> float:
    """How far apart the two heads' masks are with equal weights, in float32 without dropout."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    features = Features(size)
    theirs, ours = (features.run(head.eval()) for head in build_heads(size).values())
    return (theirs - ours).abs().max().item()


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--layers', type=count, default=2, help='of the heads')
    parser.add_argument('--width', type=count, default=768, help='of the heads, a multiple of 64')
    parser.add_argument('--classes', type=count, default=150)
    parser.add_argument('--batch', type=count, default=2, help='images; one in the slide rows')
    parser.add_argument('--tokens', type=size_pair, default='32x32', metavar='HEIGHTxWIDTH', help='feature map of an image')
    parser.add_argument('--image', type=size_pair, default='512x1024', metavar='HEIGHTxWIDTH',
                        help='pixels in the slide rows')
    parser.add_argument('--crop', type=count, default=512, help='height and width of a sliding window')
    parser.add_argument('--stride', type=count, default=480, help='from one window to the next')
    add_timing_options(parser, list(ROWS), 'segmenter_head', repeats=8)
    args = parser.parse_args()
    patch = encoder_cfg().patch_size
    for name, unit in (('width', 64), ('crop', patch)):
        if getattr(args, name) < unit or getattr(args, name) % unit:
            parser.error(f'--{name} {getattr(args, name)}: expected a multiple of {unit}')
    if not 0 < args.stride <= args.crop <= min(args.image):
        parser.error(f'--stride {args.stride}, --crop {args.crop}: expected 0 < stride <= crop <= both sides of --image')
    return args


def main() -> None:
    """Measure row by row; the files are complete after each."""
    args = parse_args()
    refuse_other_report(args.out, 'segmenter_head')
    size = HeadSize(args.width, args.layers, args.classes, args.batch, *args.tokens)
    slide = SlideSize(args.image, args.crop, args.stride)
    facts = machine_facts(args.threads)
    facts['clock'] = args.clock
    facts['sizes'] = (f'width {size.width}, {size.num_heads} heads, {size.num_layers} layers, batch {size.batch}, '
                      f'{size.patches} patches + {size.num_classes} classes')
    facts['sliding window'] = (f'{slide.windows} windows of {slide.crop} pixels, stride {slide.stride}, image '
                               f'{slide.image[0]}x{slide.image[1]}')
    facts['largest difference of the outputs'] = f'{in_fresh_process(largest_difference, size, args.threads):.1e}'
    print('\n'.join(fact_lines(facts)), flush=True)
    comparisons: List[Dict[str, Any]] = []
    seconds: Dict[str, Dict[str, List[float]]] = {}
    for name in args.rows:
        row = ROWS[name]
        flops, seconds[name] = in_fresh_process(measure_row, row, size, slide, args.repeats, args.threads, args.clock)
        comparisons += [dict(comparison, giga_flops=flops)
                        for comparison in compare(row.title, [(OURS, STOCK, row.wanted)], seconds[name])]
        markdown = '\n'.join([*fact_lines(facts), '', table(comparisons)])
        write_report(args.out, 'segmenter_head', dict(facts=facts, comparisons=comparisons, seconds=seconds), markdown)
    print('\n' + table(comparisons))


if __name__ == '__main__':
    main()
