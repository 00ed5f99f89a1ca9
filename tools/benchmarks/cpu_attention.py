"""Time attention on a CPU, forward and backward: torch's fused kernel against those that take its place there.

``lbbt_mm.models.layers.cpu_attention`` chooses; the last column says which of the two it takes.
"""
import argparse
import statistics
from functools import partial
from typing import List, Tuple

import torch
from benchmark_report import markdown_table
from interleaved_rounds import CLOCKS, timed

from lbbt_mm.argument_types import count
from lbbt_mm.models.layers.attention import attend
from lbbt_mm.models.layers.cpu_attention import quickest_on_cpu

# (batch, queries, keys): demo encoder and decoder, ViT at 224, DETR's decoder, longer ones
SHAPES: List[Tuple[int, int, int]] = [(32, 36, 36), (32, 15, 36), (8, 197, 197), (4, 256, 256), (2, 100, 100),
                                      (2, 100, 1050), (4, 362, 362), (2, 512, 512), (2, 1050, 1050)]
# type, dropout rate and the kernel that was made for it
CASES = {'bf16': (torch.bfloat16, 0., 'float32'), 'drop': (torch.float32, 0.1, 'chunked'),
         'bf16-drop': (torch.bfloat16, 0.1, 'chunked')}


def compare(shape: Tuple[int, int, int], case: str, args: argparse.Namespace) -> Tuple[str, ...]:
    """Time both kernels in turn, after one call of each to warm up.

    Args:
        shape: Batch, queries and keys.
        case: One of :data:`CASES`.
        args: The command line.

    Returns:
        tuple[str, ...]: The table's row; its ratio is the median of pairs.
    """
    (batch, queries, keys), (dtype, drop, own) = shape, CASES[case]
    q, k, v = (torch.randn(batch, args.heads, n, args.head_dims, dtype=dtype, requires_grad=True)
               for n in (queries, keys, keys))
    grad = torch.randn_like(q)

    def step(kernel: str) -> None:
        torch.autograd.grad(attend(q, k, v, drop=drop, kernel=kernel), (q, k, v), grad)

    pairs = [[timed(partial(step, kernel), CLOCKS[args.clock]) for kernel in ('fused', own)]
             for _ in range(args.repeats + 1)][1:]
    fused, ours = (f'{1e3 * statistics.median(seconds):.1f}' for seconds in zip(*pairs))
    ratio = statistics.median(theirs / mine for theirs, mine in pairs)
    return (case, str(batch), f'{queries} x {keys}', own, fused, ours, f'{ratio:.2f}', quickest_on_cpu(q, k, dtype, drop))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--heads', type=count, default=12)
    parser.add_argument('--head-dims', type=count, default=64)
    parser.add_argument('--repeats', type=count, default=15, help='pairs, after one to warm up')
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES), metavar='CASE', help=' '.join(CASES))
    parser.add_argument('--threads', type=count, default=torch.get_num_threads())
    parser.add_argument('--clock', choices=CLOCKS, default='wall', help='cpu with --threads 1: fair on a busy machine')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f'{args.heads} heads of {args.head_dims}, {args.threads} threads, torch {torch.__version__}, median of '
          f'{args.repeats} pairs, {args.clock} clock\n')
    rows = [compare(shape, case, args) for case in args.cases for shape in SHAPES]
    print(markdown_table(('case', 'batch', 'queries x keys', 'own', 'fused ms', 'own ms', 'fused / own', 'auto'), rows))


if __name__ == '__main__':
    main()
