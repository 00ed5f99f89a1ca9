"""Time partial training (LBBT, Tables 8 and 12) beside what the counted work predicts, and add up what it allocates.

The work is counted in matrix products, of three kinds: the forward pass of everything; the gradients of activations, from
the loss down to the first trainable parameter; the gradients of the trained parts' weights. A stack of the same blocks,
with nothing else and no hook, gives the rate of each kind: of its forward pass without gradients; of what a backward pass
to its input adds to that, all weights frozen (keeping activations for it is part of the price); of what the weights'
gradients add to that. The prediction is the sum over the kinds of work / rate. The three calibrating calls and the
training step take turns in every round, and a row's ratio is the median over rounds; each row has a process of its own.

"GFLOP done" is what is counted in a real step: work that no trained parameter needs would show there, whatever the clock
says. The model is LLMBackbone and a linear head, frozen by lbbt_mm.PartialFreezeHook; head and final norm always train. The
optimizer is AdamW; its step is timed apart. Memory is what gradients and optimizer state really hold.
"""
import argparse
import sys
from typing import Any, Dict, List

from harness import Comparison, Row, require_multiple
from report import table

from lbbt_mm.argument_types import count

HEADER = ('trained', 'parameters', 'GFLOP counted', 'GFLOP done', 'predicted s', 'measured s', 'measured / predicted',
          'range', 'wanted at most', 'optimizer s', 'gradients MiB', 'AdamW MiB', 'bytes a trained parameter')


def result_table(results: List[Dict[str, Any]]) -> str:
    """Results as Markdown, the prediction beside the measurement."""
    lines = []
    for r in results:
        held = r['bytes']
        per_parameter = [f'{held[what] / held["trained"]:.2f}' for what in ('gradients', 'optimizer')]
        lines.append((r['trained'], f'{held["trained"]:,} of {held["parameters"]:,}', f'{sum(r["counted"].values()):.4g}',
                      f'{r["done"]:.4g}', f'{r["predicted_seconds"]:.3f}', f'{r["measured_seconds"]:.3f}',
                      f'{r["ratio"]:.2f}', f'{r["smallest"]:.2f} to {r["largest"]:.2f}',
                      f'{r["wanted"]:.2f} ' + ('met' if r['ratio'] <= r['wanted'] else 'MISSED'),
                      f'{r["optimizer_seconds"]:.3f}', f'{held["gradients"] / (1 << 20):.1f}',
                      f'{held["optimizer"] / (1 << 20):.1f}', f'{per_parameter[0]} + {per_parameter[1]}'))
    return table(HEADER, lines)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse sizes that cannot be."""
    if args.layers < 5:
        parser.error(f'--layers {args.layers}: expected at least 5, which one row trains')
    require_multiple(parser, args, width=64, image=16)


BENCHMARK = Comparison(
    'partial_training', __doc__, repeats=6, sides='partial_training_sides', check=check, table=result_table,
    rows={name: Row(title, True, False, 1.1, dict(trainable=trainable, embedding=embedding))
          for name, title, trainable, embedding in (
              ('first', 'first 5 blocks', 'first:5', False), ('last', 'last block, embedding frozen', 'last:1', False),
              ('last-embedding', 'last block and embedding', 'last:1', True), ('all', 'all', 'all', True))},
    sizes=dict(
        layers=(count, 24, 'at least 5'),
        width=(count, 512, "a multiple of 64; GPT-2 medium's is 1024"),
        batch=(count, 8, 'images'),
        image=(count, 224, 'height and width, a multiple of 16')))

if __name__ == '__main__':
    sys.exit(BENCHMARK.run())
