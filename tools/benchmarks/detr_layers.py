"""Time LanguageDETR's transformer against mmdet's DETR layers: same sizes, inputs, weights and dropouts, call by call.

Each row runs in a process of its own: memory that an earlier row has freed makes large allocations cheaper. Within it the
contenders take turns, so that whatever else the machine does falls on all of them. A row reports the median over rounds
of (mmdet's time / our time), the smallest and largest, and the ratio of the quickest calls.
"""
import argparse
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import torch
from mmengine.config import Config
from torch import nn

from benchmark_report import fact_lines, machine_facts, refuse_other_report, write_report
from detr_contenders import Inputs, LanguageTransformer, StockTransformer, equal_dropout_cfgs, stock_config_cfgs
from interleaved_rounds import (CLOCKS, FLOOR, Contender, add_timing_options, compare, in_fresh_process, table,
                                time_rounds)
from matrix_floor import TransformerSize, count_products, floor_call, giga_flops

from lbbt_mm.argument_types import count, size_pair

ROOT = Path(__file__).resolve().parents[2]

PROJ_DROP = 0.1
STOCK = 'mmdet'


@dataclass(frozen=True)
class Row:
    """What is measured in one go.

    Args:
        title: Name in the table.
        training: Forward and backward, or forward alone in evaluation mode.
        bf16: Under bfloat16 autocast, or in float32.
        wanted: How many times as fast as mmdet's layers ours are meant to be.
        attn_drop: Dropout rate of attention weights on both sides.
        shipped: Compare our shipped config with mmdet's instead, each with its own dropouts and activation.
        padded: Measure with padding masks too.
    """
    title: str
    training: bool
    bf16: bool
    wanted: Optional[float]
    attn_drop: float = 0.
    shipped: bool = False
    padded: bool = True


ROWS = {
    'train': Row('training fp32, attn drop 0', True, False, 1.15),
    'train-drop': Row('training fp32, attn drop 0.1', True, False, 1., 0.1),
    'infer': Row('inference fp32', False, False, 1.2),
    'train-bf16': Row('training bf16, attn drop 0', True, True, 1.),
    'train-bf16-drop': Row('training bf16, attn drop 0.1', True, True, 1., 0.1),
    'infer-bf16': Row('inference bf16', False, True, 10., padded=False),
    'shipped': Row('our shipped config against the stock one, training fp32', True, False, None, shipped=True,
                   padded=False),
}


def contender(model: nn.Module, row: Row, inputs: Inputs, padded: bool = False) -> Contender:
    """One transformer under one row's conditions."""
    return Contender(model, partial(inputs.run, model, padded), row.training, row.bf16,
                     partial(inputs.clear_gradients, model))


def build_contenders(row: Row, size: TransformerSize) -> Dict[str, Callable[[], None]]:
    """All that take turns in a row: mmdet's layers, ours with either norm, with and without padding, and the floor."""
    inputs = Inputs(size)
    if row.shipped:
        model = Config.fromfile(ROOT / 'configs/detr_gpt2_coco.py').model
        options = dict(norm=model.norm, attn_drop=model.attn_drop, proj_drop=model.proj_drop)
        stock = StockTransformer(size, stock_config_cfgs(size))
        ours = {'shipped config': LanguageTransformer(size, **options)}
    else:
        options = dict(attn_drop=row.attn_drop, proj_drop=PROJ_DROP)
        stock = StockTransformer(size, equal_dropout_cfgs(size, **options))
        ours = {f'{norm}-norm': LanguageTransformer(size, norm=norm, **options).copy_from(stock)
                for norm in ('pre', 'post')}
    calls = {STOCK: contender(stock, row, inputs)}
    calls.update({name: contender(model, row, inputs) for name, model in ours.items()})
    if row.padded:
        calls['pre-norm, padded'] = contender(ours['pre-norm'], row, inputs, padded=True)
        calls[f'{STOCK}, padded'] = contender(stock, row, inputs, padded=True)
    calls[FLOOR] = floor_call(count_products(size, row.training), torch.bfloat16 if row.bf16 else torch.float32)
    return calls


def pairs_to_compare(row: Row, names: Iterable[str]) -> List[Tuple[str, str, Optional[float]]]:
    """Ours, theirs, and how many times as fast ours is meant to be, for each of a row's contenders."""
    pairs: List[Tuple[str, str, Optional[float]]] = []
    for name in names:
        if name not in (FLOOR, STOCK, f'{STOCK}, padded'):
            # with padding masks ours should be no slower than theirs without
            pairs.append((name, STOCK, 1. if 'padded' in name and row.wanted else row.wanted))
    if row.padded:
        pairs.append(('pre-norm, padded', f'{STOCK}, padded', None))
    return pairs


def measure_row(row: Row, size: TransformerSize, repeats: int, threads: int, clock: str) -> Dict[str, List[float]]:
    """Build and time a row's contenders; see :func:`time_rounds`."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    return time_rounds(build_contenders(row, size), repeats, CLOCKS[clock])


@torch.no_grad()
def largest_difference(size: TransformerSize) -> float:
    """How far apart the two sides' outputs are with equal weights and post-norm, in float32 without dropout."""
    row, inputs = Row('', False, False, None), Inputs(size)
    stock = StockTransformer(size, equal_dropout_cfgs(size, 0., 0.))
    models = [model.train(row.training) for model in (stock, LanguageTransformer(size, norm='post').copy_from(stock))]
    theirs, ours = (inputs.run(model, padded=True) for model in models)
    return (theirs - ours).abs().max().item()


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--layers', type=count, default=6, help='of encoder and of decoder; twice that in the shipped row')
    parser.add_argument('--width', type=count, default=768, help='a multiple of 64, the width of a head')
    parser.add_argument('--batch', type=count, default=2, help='images')
    parser.add_argument('--tokens', type=size_pair, default='25x42', metavar='HEIGHTxWIDTH', help='feature map of an image')
    parser.add_argument('--queries', type=count, default=100)
    add_timing_options(parser, list(ROWS), 'detr_layers', repeats=4)  # half as many rounds in the shipped row
    args = parser.parse_args()
    if args.width % 64:
        parser.error(f'--width {args.width}: expected a multiple of 64')
    return args


def main() -> None:
    """Measure row by row; the files are complete after each."""
    args = parse_args()
    refuse_other_report(args.out, 'detr_layers')
    size = TransformerSize(args.width, args.width // 64, 4 * args.width, args.layers, args.batch,
                           *args.tokens, args.queries)
    facts = machine_facts(args.threads)
    facts['clock'] = args.clock
    facts['sizes'] = (f'width {size.width}, {size.num_heads} heads, {size.num_layers}+{size.num_layers} layers, '
                      f'batch {size.batch}, {size.tokens} tokens, {size.queries} queries')
    facts['largest difference of the outputs, post-norm'] = f'{in_fresh_process(largest_difference, size):.1e}'
    print('\n'.join(fact_lines(facts)), flush=True)
    comparisons: List[Dict[str, Any]] = []
    seconds: Dict[str, Dict[str, List[float]]] = {}
    for name in args.rows:
        row = ROWS[name]
        # the shipped config has twice as many layers, and its calls take twice as long
        row_size = replace(size, num_layers=2 * size.num_layers) if row.shipped else size
        repeats = -(-args.repeats // 2) if row.shipped else args.repeats
        flops = giga_flops(count_products(row_size, row.training))
        print(f'{row.title}: {row_size.num_layers}+{row_size.num_layers} layers, {flops:.0f} GFLOP in products', flush=True)
        seconds[name] = in_fresh_process(measure_row, row, row_size, repeats, args.threads, args.clock)
        comparisons += compare(row.title, pairs_to_compare(row, seconds[name]), seconds[name])
        markdown = '\n'.join([*fact_lines(facts), '', table(comparisons)])
        write_report(args.out, 'detr_layers', dict(facts=facts, comparisons=comparisons, seconds=seconds), markdown)
    print('\n' + table(comparisons))


if __name__ == '__main__':
    main()
