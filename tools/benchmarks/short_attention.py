"""Time bfloat16 attention on a CPU, forward and backward: torch's fused kernel in bfloat16 against the same in float32.

`lbbt_mm.models.layers.short_attention` takes over below a number of scores per head; this shows where the two cross.
"""
import statistics
import sys
from functools import partial
from typing import Any, Callable

from harness import make_parser, read_timing, time_rounds
from report import table

from lbbt_mm.argument_types import count
from lbbt_mm.launch.user_errors import run_tool

# (batch, queries, keys): demo encoder and decoder, ViT at 224, DETR's decoder, longer ones
SHAPES = [(32, 36, 36), (32, 15, 36), (8, 197, 197), (4, 256, 256), (2, 100, 100), (2, 100, 1050), (4, 362, 362),
          (2, 512, 512), (2, 1050, 1050)]
HEADER = ('batch', 'queries x keys', 'fused ms', 'ours ms', 'fused / ours', 'used')


def main() -> None:
    """Time shape by shape."""
    args = make_parser(__doc__, '', repeats=15, sizes=dict(
        heads=(count, 12, 'of attention'), **{'head-dims': (count, 64, 'width of a head')})).parse_args()
    timing = read_timing(args)
    import torch

    from lbbt_mm.models.layers.short_attention import is_short_bf16_training, short_attention
    torch.set_num_threads(timing.threads)
    lines = []
    for batch, queries, keys in SHAPES:
        q, k, v = (torch.randn(batch, args.heads, n, args.head_dims, dtype=torch.bfloat16, requires_grad=True)
                   for n in (queries, keys, keys))
        grad = torch.randn_like(q)

        def step(attend: Callable[..., Any], q: Any = q, k: Any = k, v: Any = v, grad: Any = grad) -> None:
            torch.autograd.grad(attend(q, k, v), (q, k, v), grad)

        times = time_rounds({
            'fused': partial(step, torch.nn.functional.scaled_dot_product_attention),
            'ours': partial(step, partial(short_attention, mask=None, causal=False, scale=None))}, timing, say=str)
        fused, ours = (1e3 * statistics.median(seconds) for seconds in times.values())
        ratio = statistics.median(a / b for a, b in zip(*times.values()))
        lines.append((batch, f'{queries} x {keys}', f'{fused:.1f}', f'{ours:.1f}', f'{ratio:.2f}',
                      'ours' if is_short_bf16_training(q, k) else 'fused'))
    print(f'bfloat16 attention, forward and backward, {args.heads} heads of {args.head_dims}, {timing.threads} threads, '
          f'torch {torch.__version__}, median of {timing.repeats} pairs\n\n{table(HEADER, lines)}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
