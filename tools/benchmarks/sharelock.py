"""Measure ShareLock's training on a store of features: time, the share of loading in it, and memory; and its loss alone.

Steps are those of a run: a batch from lbbt_mm.FeaturePairs, forward, backward, Adam. The store holds twice as many pairs as
a batch and is in the page cache. Wanted are loading within 5% of a step, and all memory of the process within 6 GiB. The
loss alone is set beside the textbook's, which holds all logits: how far losses and gradients are apart (wanted: 1e-5, the
gradients' relative to the largest entry), and the time and memory of both. Needs Linux's /proc.
"""
import shutil
import sys
import tempfile
from types import SimpleNamespace
from typing import Any, Dict, List, Mapping

from harness import in_fresh_process, make_parser, read_timing
from report import Report, table

from lbbt_mm.argument_types import count
from lbbt_mm.launch.user_errors import run_tool

GIB = 1 << 30
LOADING, MEMORY, APART = 0.05, 6 * GIB, 1e-5
#: Settings of the model for each row of steps
STEPS = {'full': dict(batch='full'), 'accumulate': dict(batch='accumulate')}
SIZES = dict(batch=(count, 16384, 'pairs in a batch'), image=(count, 1024, 'width of the image features'),
             text=(count, 1024, 'width of the text features'), hidden=(count, 4096, 'width between the linears'),
             accumulate=(count, 1024, 'pairs in a loss of the row accumulate'))


def verdict(value: float, wanted: float) -> str:
    """Whether what was wanted was met."""
    return 'met' if value <= wanted else 'MISSED'


def step_table(results: List[Mapping[str, Any]]) -> str:
    """Steps as Markdown."""
    header = ('row', 'step s', 'range', 'loading s', 'share of loading', 'wanted 5%', 'memory GiB', 'wanted 6 GiB')
    return table(header, [(one['row'], f'{one["step"]:.3f}', f'{one["smallest"]:.3f} to {one["largest"]:.3f}',
                           f'{one["loading"]:.3f}', f'{one["share"]:.1%}', verdict(one['share'], LOADING),
                           f'{one["memory"] / GIB:.2f}', verdict(one['memory'], MEMORY)) for one in results])


def loss_table(found: Mapping[str, Any]) -> str:
    """The loss alone as Markdown."""
    rows = [(name, f'{one["seconds"]:.3f}', f'{one["memory"] / GIB:.2f}') for name, one in found['ways'].items()]
    apart = ', '.join(f'{name} {value:.1e} {verdict(value, APART)}' for name, value in found['apart'].items())
    return f'{table(("loss", "forward and backward s", "memory above before GiB"), rows)}\n\napart: {apart}'


def main() -> None:
    """Write a store, measure, remove the store."""
    names = [*STEPS, 'loss']
    parser = make_parser(__doc__, 'sharelock', repeats=5, rows=names, sizes=SIZES)
    args = parser.parse_args()
    if args.batch % args.accumulate and 'accumulate' in args.rows:
        parser.error(f'--batch {args.batch}: expected a multiple of --accumulate {args.accumulate}')
    needed, temporary = 2 * args.batch * (args.image + args.text) * 4, tempfile.gettempdir()
    if shutil.disk_usage(temporary).free < 1.1 * needed:
        sys.exit(f'{temporary} has less room than the {needed / GIB:.1f} GiB of the features. Set TMPDIR to a larger disk, '
                 'or give smaller sizes.')
    report, timing = Report(args.out, 'sharelock'), read_timing(args)
    import sharelock_sides as sides
    size = SimpleNamespace(**{name: getattr(args, name) for name in SIZES})
    report.begin({**timing._asdict(), **vars(size)})
    results: List[Dict[str, Any]] = []
    loss: Dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix='lbbt_mm_features_') as folder:
        in_fresh_process(sides.write_stores, folder, size, method='spawn')
        for name in args.rows:
            if name == 'loss':
                loss = in_fresh_process(sides.measure_losses, size, timing, method='spawn')
            else:
                results.append(dict(in_fresh_process(sides.measure_steps, STEPS[name], folder, size, timing,
                                                     method='spawn'), row=name))
            text = '\n\n'.join([*([step_table(results)] if results else []), *([loss_table(loss)] if loss else [])])
            report.write(text, results=results, loss=loss)
    print('\n' + text)


if __name__ == '__main__':
    sys.exit(run_tool(main))
