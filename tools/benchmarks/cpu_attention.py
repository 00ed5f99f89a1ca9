"""Time attention on a CPU, forward and backward: torch's fused kernel against those that take its place there.

``lbbt_mm.models.layers.cpu_attention`` chooses; the last column says which of the two it takes.
"""
import argparse
import statistics
import sys
from functools import partial
from typing import Tuple

from harness import Timing, make_parser, read_timing, time_rounds
from report import table

from lbbt_mm.argument_types import count
from lbbt_mm.launch.user_errors import run_tool

# (batch, queries, keys): demo encoder and decoder, ViT at 224, DETR's decoder, longer ones
SHAPES = [(32, 36, 36), (32, 15, 36), (8, 197, 197), (4, 256, 256), (2, 100, 100), (2, 100, 1050), (4, 362, 362),
          (2, 512, 512), (2, 1050, 1050)]
# type, dropout rate and the kernel that was made for it
CASES = {'bf16': ('bfloat16', 0., 'float32'), 'drop': ('float32', 0.1, 'chunked'), 'bf16-drop': ('bfloat16', 0.1, 'chunked')}
HEADER = ('case', 'batch', 'queries x keys', 'own', 'fused ms', 'own ms', 'fused / own', 'auto')


def compare(shape: Tuple[int, int, int], case: str, args: argparse.Namespace, timing: Timing) -> Tuple[str, ...]:
    """Time both kernels in turn.

    Args:
        shape: Batch, queries and keys.
        case: One of :data:`CASES`.
        args: The command line.
        timing: How it is timed.

    Returns:
        tuple[str, ...]: The table's row; its ratio is the median of pairs.
    """
    import torch

    from lbbt_mm.models.layers.attention import attend
    from lbbt_mm.models.layers.cpu_attention import quickest_on_cpu
    (batch, queries, keys), (name, drop, own) = shape, CASES[case]
    dtype = getattr(torch, name)
    q, k, v = (torch.randn(batch, args.heads, n, args.head_dims, dtype=dtype, requires_grad=True)
               for n in (queries, keys, keys))
    grad = torch.randn_like(q)

    def step(kernel: str) -> None:
        torch.autograd.grad(attend(q, k, v, drop=drop, kernel=kernel), (q, k, v), grad)

    times = time_rounds({kernel: partial(step, kernel) for kernel in ('fused', own)}, timing, say=str)
    fused, ours = (f'{1e3 * statistics.median(seconds):.1f}' for seconds in times.values())
    ratio = statistics.median(theirs / mine for theirs, mine in zip(*times.values()))
    return (case, str(batch), f'{queries} x {keys}', own, fused, ours, f'{ratio:.2f}', quickest_on_cpu(q, k, dtype, drop))


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__, '', repeats=15, sizes=dict(
        heads=(count, 12, 'of attention'), **{'head-dims': (count, 64, 'width of a head')}))
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES), metavar='CASE', help=' '.join(CASES))
    args = parser.parse_args()
    timing = read_timing(args)
    import torch
    torch.set_num_threads(timing.threads)
    print(f'{args.heads} heads of {args.head_dims}, {timing.threads} threads, torch {torch.__version__}, median of '
          f'{timing.repeats} pairs\n')
    print(table(HEADER, [compare(shape, case, args, timing) for case in args.cases for shape in SHAPES]))


if __name__ == '__main__':
    sys.exit(run_tool(main))
