"""Time LLMBackbone against timm's ViT and transformers' GPT2Model and LlamaModel: same sizes, images and weights.

Each row runs in a process of its own, and its contenders take turns (see ``detr_layers.py``). All dropout rates are zero,
and weights are float32; the bf16 rows run under autocast. Beside transformers' models both sides are causal and embed
patches themselves; theirs get them as ``inputs_embeds`` and compute attention with SDPA.
"""
import argparse
import importlib.util
import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from benchmark_report import fact_lines, machine_facts, refuse_other_report, write_report
from interleaved_rounds import (CLOCKS, FLOOR, Contender, add_timing_options, compare, in_fresh_process, table,
                                time_rounds)
from llm_backbone_contenders import CHANNELS, PATCH, Sizes, backbone_work, build_models, largest_difference
from matrix_floor import giga_flops

from lbbt_mm.argument_types import count

# How many times as fast as the other library's model ours is meant to be in training, by family of the comparison.
WANTED = {'vit': 1., 'gpt2': 1.1, 'smollm2': 1.}
TITLES = {'vit': "GPT-2 small's sizes as a ViT", 'gpt2': 'GPT-2 small', 'smollm2': 'SmolLM2'}


@dataclass(frozen=True)
class Row:
    """What is measured in one go.

    Args:
        family: Which models; a key of :data:`WANTED`.
        training: Forward and backward, or forward alone in evaluation mode.
        bf16: Under bfloat16 autocast, or in float32.
    """
    family: str
    training: bool
    bf16: bool

    @property
    def title(self) -> str:
        """Name in the table."""
        return f'{TITLES[self.family]}, {"training" if self.training else "inference"} {"bf16" if self.bf16 else "fp32"}'

    @property
    def wanted(self) -> Optional[float]:
        """How many times as fast ours is meant to be; inference has no target."""
        return WANTED[self.family] if self.training else None


ROWS = {f'{family}-{"train" if training else "infer"}{"-bf16" if bf16 else ""}': Row(family, training, bf16)
        for family in WANTED for training in (True, False) for bf16 in (False, True)}


def measure_row(row: Row, sizes: Sizes, repeats: int, threads: int, clock: str) -> Tuple[float, Dict[str, List[float]]]:
    """Build and time a row's contenders.

    Args:
        row: The row.
        sizes: Sizes of the models and the batch.
        repeats: Number of rounds.
        threads: Threads of every contender.
        clock: A key of :data:`interleaved_rounds.CLOCKS`.

    Returns:
        tuple[float, dict]: GFLOP in matrix products, and the seconds by contender.
    """
    from matrix_floor import floor_call
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    images = torch.randn(sizes.batch, CHANNELS, sizes.image, sizes.image)
    models = build_models(row.family, sizes)
    work = backbone_work(list(models.values())[-1].backbone, sizes.batch)
    products = work.all if row.training else work.forward
    print(f'{row.title}, batch {sizes.batch}: {giga_flops(products):.0f} GFLOP in products', flush=True)
    calls: Dict[str, Callable[[], None]] = {
        name: Contender(model, partial(model, images), row.training, row.bf16) for name, model in models.items()}
    calls[FLOOR] = floor_call(products, torch.bfloat16 if row.bf16 else torch.float32)
    return giga_flops(products), time_rounds(calls, repeats, CLOCKS[clock])


def check_family(family: str, sizes: Sizes, threads: int) -> str:
    """Say how many parameters each side has, and how far apart their outputs and gradients are."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    counts = {name: sum(parameter.numel() for parameter in model.parameters())
              for name, model in build_models(family, sizes).items()}
    output, gradient = largest_difference(family, Sizes(sizes.layers, sizes.image, 1))
    theirs, ours = list(counts)[:2]
    return (f'parameters {counts[theirs]:,} ({theirs}), {counts[ours]:,} (ours, {ours}); largest difference {output:.1e} of '
            f"the outputs, {gradient:.1e} of the patch embedding's gradient")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--layers', type=count, default=12, help="of all models; 12 of SmolLM2's 30 save time")
    parser.add_argument('--image', type=count, default=224, help=f'height and width, a multiple of {PATCH}')
    parser.add_argument('--batch', type=int, nargs='+', default=[4, 16], metavar='IMAGES',
                        help='images a step; each row is measured with each of these')
    add_timing_options(parser, list(ROWS), 'llm_backbone', repeats=6)
    args = parser.parse_args()
    args.batch = list(dict.fromkeys(args.batch))
    if min(args.batch) < 1:
        parser.error(f'--batch {min(args.batch)}: expected 1 image or more')
    if args.image < PATCH or args.image % PATCH:
        parser.error(f'--image {args.image}: expected a multiple of {PATCH}')
    if any(ROWS[name].family == 'vit' for name in args.rows) and importlib.util.find_spec('timm') is None:
        parser.error('the vit rows need timm, which is not installed. Run `make bench`, install requirements/bench.txt, or '
                     'choose other --rows.')
    return args


def main() -> None:
    """Measure row by row; the files are complete after each."""
    args = parse_args()
    refuse_other_report(args.out, 'llm_backbone')
    sizes = {batch: Sizes(args.layers, args.image, batch) for batch in args.batch}
    any_size = sizes[args.batch[0]]
    facts: Dict[str, Any] = machine_facts(args.threads)
    facts['clock'] = args.clock
    facts['sizes'] = f'{any_size.layers} blocks, {any_size.tokens} tokens an image'
    for family in dict.fromkeys(ROWS[name].family for name in args.rows):
        facts[TITLES[family]] = in_fresh_process(check_family, family, any_size, args.threads)
    print('\n'.join(fact_lines(facts)), flush=True)
    comparisons: List[Dict[str, Any]] = []
    seconds: Dict[str, Dict[str, List[float]]] = {}
    for name, batch in itertools.product(args.rows, args.batch):
        row = ROWS[name]
        flops, times = in_fresh_process(measure_row, row, sizes[batch], args.repeats, args.threads, args.clock)
        seconds[f'{name}, batch {batch}'] = times
        theirs, *ours = (contender for contender in times if contender != FLOOR)
        pairs = [(contender, theirs, row.wanted) for contender in ours]
        for comparison in compare(f'{row.title}, batch {batch}', pairs, times):
            comparisons.append(dict(comparison, batch=batch, giga_flops=flops))
        markdown = '\n'.join([*fact_lines(facts), '', table(comparisons)])
        write_report(args.out, 'llm_backbone', dict(facts=facts, comparisons=comparisons, seconds=seconds), markdown)
    print('\n' + table(comparisons))


if __name__ == '__main__':
    main()
