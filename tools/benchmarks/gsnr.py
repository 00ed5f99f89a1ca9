"""Time ways to the gradients of single samples, whose mean and variance GSNRHook takes, and say what memory each needs.

A vision transformer of DeiT's form; the parameters of its blocks. In turns: a loop of a forward and a backward pass for each
sample; torch.func (vmap of grad, with a batch dimension of 1 inside, without which attention leaves its fused kernel);
hooks on the modules as opacus has them, with all gradients of a chunk at once; ours, one sample's gradient of a layer after
another, off passes of its own, chunk by chunk; and ours off the training's own pass, as the hook has it, which takes what a
watched pass takes more than a plain one. Every way ends with the same mean and variance of each parameter. Memory is the
peak above what model and batch take, each way in a process of its own.
"""
import argparse
import sys
from typing import Any, Mapping, Sequence

from harness import Comparison, Row, require_multiple
from report import table

from lbbt_mm.argument_types import count

HEADER = ('way', 'seconds', 'smallest', 'ms a sample', 'times as fast as the loop', 'range', 'quickest calls', 'wanted',
          'memory MiB', 'wanted')
WANTED, MEMORY = 3., 2048


def result_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Results as Markdown."""
    lines = []
    for r in results:
        met = ('met' if r['ratio'] >= r['wanted'] else 'MISSED') if r['wanted'] else ''
        fits = ('met' if r['memory'] <= MEMORY else 'MISSED') if r['wanted'] else ''
        lines.append((f'{r["row"]}: {r["way"]}', f'{r["seconds"]:.3f}', f'{r["shortest"]:.3f}',
                      f'{1000 * r["seconds"] / r["samples"]:.1f}', f'{r["ratio"]:.2f}',
                      f'{r["smallest"]:.2f} to {r["largest"]:.2f}', f'{r["quickest"]:.2f}',
                      f'{r["wanted"]:.2f} {met}' if met else '', f'{r["memory"]:,.0f}',
                      f'{MEMORY:,} {fits}' if fits else ''))
    return table(HEADER, lines)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse sizes that cannot be."""
    require_multiple(parser, args, width=64, image=4)
    if min(args.batch) < 4:
        parser.error(f'--batch {min(args.batch)}: expected 4 or more')


BENCHMARK = Comparison(
    'gsnr', __doc__, repeats=5, sides='gsnr_sides', check=check, table=result_table,
    rows=dict(vit=Row('ViT', True, False, WANTED)),
    sizes=dict(
        layers=(count, 12, "blocks; DeiT-S's"),
        width=(count, 384, "a multiple of 64; DeiT-S's"),
        image=(count, 32, 'height and width, a multiple of 4, which is a patch'),
        batch=(count, [32], 'images; it is measured with each of these'),
        chunk=(count, 8, 'images in a pass of the ways that go chunk by chunk')))

if __name__ == '__main__':
    sys.exit(BENCHMARK.run())
