"""Time a step of auxiliary training beside the work that it adds, and inference beside the plain ViT.

A step is the forward and backward pass of lbbt_mm.RectifiedClassifier, path='auxiliary'. What it has to cost is measured in
the same rounds: the plain ViT's step, and one pass of the frozen block alone, forward and back to its input. A ratio is the
median over rounds of (step / their sum); each row has a process of its own. "GFLOP done" is what torch counts in the real
step, beside what the parts need: more than the mappers' share above it would be wasted work. The optimizer is left out.

Inference: the classifier as it was trained, and stripped of its rectifier, beside mmpretrain's own ViT.
"""
import argparse
import sys
from typing import Any, Dict, List

from harness import Comparison, Row, require_multiple
from report import table

from lbbt_mm.argument_types import count

HEADER = ('row', 'GFLOP of the parts', 'GFLOP done', 'parts s', 'measured s', 'measured / parts', 'range', 'quickest calls',
          'wanted at most')


def result_table(results: List[Dict[str, Any]]) -> str:
    """Results as Markdown, what is measured beside its parts."""
    return table(HEADER, [
        (r['row'], f'{r["counted"]:.4g}', f'{r["done"]:.4g}', f'{r["parts_seconds"]:.4f}', f'{r["measured_seconds"]:.4f}',
         f'{r["ratio"]:.3f}', f'{r["smallest"]:.3f} to {r["largest"]:.3f}', f'{r["quickest"]:.3f}',
         f'{r["wanted"]:.2f} ' + ('met' if r['ratio'] <= r['wanted'] else 'MISSED')) for r in results])


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse sizes that cannot be."""
    require_multiple(parser, args, width=64, block=64, image=8)


BENCHMARK = Comparison(
    'rectifier', __doc__, repeats=20, sides='rectifier_sides', check=check, table=result_table,
    rows={
        'auxiliary': Row('a step of auxiliary training, fp32', True, False, 1.15),
        'auxiliary-bf16': Row('a step of auxiliary training, bf16 autocast, block held in bf16', True, True, 1.15),
        'inference': Row('inference as trained, fp32', False, False, 1.02, dict(stripped=False)),
        'stripped': Row('inference stripped, fp32', False, False, 1.02, dict(stripped=True)),
    },
    sizes=dict(
        layers=(count, 12, "blocks of the ViT; DeiT's are 12"),
        width=(count, 192, "a multiple of 64; DeiT-T's is 192, DeiT-S's 384"),
        block=(count, 576, "width of the frozen block, a multiple of 64; SmolLM2-135M's is 576"),
        batch=(count, 64, 'images'),
        image=(count, 32, 'height and width, a multiple of 8, which is the size of a patch')))

if __name__ == '__main__':
    sys.exit(BENCHMARK.run())
