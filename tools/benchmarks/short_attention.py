"""Time bfloat16 attention on a CPU, forward and backward: torch's fused kernel in bfloat16 against the same in float32.

``lbbt_mm.models.layers.short_attention`` takes over below a number of scores per head; this shows where the two cross.
"""
import argparse
import statistics
import time
from functools import partial
from typing import Callable, List, Tuple

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from lbbt_mm.argument_types import count
from lbbt_mm.models.layers.short_attention import _MOST_SCORES, short_attention

# (batch, queries, keys): demo encoder and decoder, ViT at 224, DETR's decoder, longer ones
SHAPES: List[Tuple[int, int, int]] = [(32, 36, 36), (32, 15, 36), (8, 197, 197), (4, 256, 256), (2, 100, 100),
                                      (2, 100, 1050), (4, 362, 362), (2, 512, 512), (2, 1050, 1050)]


def interleaved(first: Callable, second: Callable, repeats: int) -> Tuple[float, float, float]:
    """Time two functions in turn.

    Args:
        first: One function.
        second: The other.
        repeats: Number of pairs, after one of each to warm up.

    Returns:
        tuple[float, float, float]: Median seconds of each, and the median of first / second, pair by pair.
    """
    times: Tuple[List[float], List[float]] = ([], [])
    for repeat in range(repeats + 1):
        for function, kept in zip((first, second), times):
            start = time.perf_counter()
            function()
            if repeat:
                kept.append(time.perf_counter() - start)
    ratio = statistics.median(a / b for a, b in zip(*times))
    return statistics.median(times[0]), statistics.median(times[1]), ratio


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--heads', type=count, default=12)
    parser.add_argument('--head-dims', type=count, default=64)
    parser.add_argument('--repeats', type=count, default=15)
    args = parser.parse_args()
    table = Table(title=f'bfloat16 attention, forward and backward, {args.heads} heads of {args.head_dims}, '
                  f'{torch.get_num_threads()} threads, torch {torch.__version__}, median of {args.repeats} pairs')
    for column in ('batch', 'queries x keys', 'fused ms', 'ours ms', 'fused / ours', 'used'):
        table.add_column(column, justify='right')
    for batch, queries, keys in SHAPES:
        q, k, v = (torch.randn(batch, args.heads, n, args.head_dims, dtype=torch.bfloat16, requires_grad=True)
                   for n in (queries, keys, keys))
        grad = torch.randn_like(q)

        def step(attend: Callable, q=q, k=k, v=v, grad=grad) -> None:
            torch.autograd.grad(attend(q, k, v), (q, k, v), grad)

        fused, ours, ratio = interleaved(
            partial(step, F.scaled_dot_product_attention),
            partial(step, partial(short_attention, mask=None, causal=False, scale=None)), args.repeats)
        table.add_row(str(batch), f'{queries} x {keys}', f'{1e3 * fused:.1f}', f'{1e3 * ours:.1f}', f'{ratio:.2f}',
                      'ours' if queries * keys <= _MOST_SCORES else 'fused')
    Console().print(table)


if __name__ == '__main__':
    main()
