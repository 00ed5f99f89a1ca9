"""What all benchmarks share: rows whose contenders take turns, and ratios round by round.

Each row runs in a process of its own: memory that an earlier row has freed makes large allocations cheaper. Within it the
contenders take turns, so that whatever else the machine does falls on all of them. A comparison is the median over rounds
of (their time / our time), the smallest and largest, and the ratio of the quickest calls.
"""
import argparse
import importlib
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from report import Report, table

from lbbt_mm import argument_types
from lbbt_mm.launch.quiet_imports import quiet_imports
from lbbt_mm.launch.user_errors import run_tool

# A call that takes so many times as long as the quickest contender's is measured twice only.
SLOW = 8
FLOOR = 'matrix products'
HEADER = ('row', 'ours', 'against', 'times as fast', 'range', 'quickest calls', 'rounds', 'wanted', 'our s', 'their s',
          'floor s', 'share of the floor: ours, theirs')
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


@dataclass(frozen=True)
class Row:
    """What is measured in one go.

    Args:
        title: Name in the table.
        training: Forward and backward, or forward alone in evaluation mode.
        bf16: Under bfloat16 autocast, or in float32.
        wanted: How many times as fast as the rival ours is meant to be; None for no target.
        options: What else tells the sides how they are built.
        share: Share of the rounds, for calls that take longer.
    """
    title: str
    training: bool
    bf16: bool
    wanted: Optional[float] = None
    options: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.


#: Rows of layers with dropout, and how many times as fast as the rival's they are meant to be.
LAYER_ROWS = {
    'train': Row('training fp32, attn drop 0', True, False, 1.15),
    'train-drop': Row('training fp32, attn drop 0.1', True, False, 1., dict(attn_drop=0.1)),
    'infer': Row('inference fp32', False, False, 1.15),
    'train-bf16': Row('training bf16, attn drop 0', True, True, 1.),
    'train-bf16-drop': Row('training bf16, attn drop 0.1', True, True, 1., dict(attn_drop=0.1)),
    'infer-bf16': Row('inference bf16', False, True, 10.),
}


class Timing(NamedTuple):
    """How it is measured: rounds, threads, and a key of :data:`CLOCKS`."""
    repeats: int
    threads: int
    clock: str


def make_parser(description: str, name: str, repeats: int = 0, rows: Sequence[str] = (),
                sizes: Optional[Mapping[str, tuple]] = None) -> argparse.ArgumentParser:
    """A command line with the options that benchmarks share.

    Args:
        description: What is measured.
        name: Name of the report's files, without suffix; empty for none.
        repeats: Default number of rounds; 0 where the benchmark has none, and no choice of threads and clock.
        rows: Names of the rows.
        sizes: Option -> its type, default (a list: one value or more) and help.
    """
    parser = argument_types.Parser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for option, (kind, default, said) in (sizes or {}).items():
        parser.add_argument(f'--{option}', type=kind, default=default, help=said,
                            nargs='+' if isinstance(default, list) else None,
                            metavar='HEIGHTxWIDTH' if kind is argument_types.size_pair else None)
    if repeats:
        parser.add_argument('--repeats', type=argument_types.count, default=repeats, help='rounds, after one to warm up')
        parser.add_argument('--threads', type=argument_types.count, help="torch's own number where it is not given")
        parser.add_argument('--clock', choices=CLOCKS, default='wall', help='cpu with --threads 1: fair on a busy machine')
    if rows:
        parser.add_argument('--rows', nargs='+', choices=rows, default=list(rows), metavar='ROW', help=' '.join(rows))
    if name:
        parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmarks'), help=f'folder for {name}.json and .md')
    return parser


def read_timing(args: argparse.Namespace) -> Timing:
    """The rounds, threads and clock that a command line asks for."""
    import torch
    quiet_imports()
    return Timing(args.repeats, args.threads or torch.get_num_threads(), args.clock)


def require_multiple(parser: argparse.ArgumentParser, args: argparse.Namespace, **units: int) -> None:
    """End with a line for an option that is no multiple of its unit."""
    for name, unit in units.items():
        value = getattr(args, name)
        if value < unit or value % unit:
            parser.error(f'--{name} {value}: expected a multiple of {unit}')


def in_fresh_process(function: Callable, *arguments: Any, method: Optional[str] = None) -> Any:
    """A function's result, computed by a child process.

    This process is not forked: OpenMP's threads do not live on in the child, which would wait for them for ever.

    Args:
        function: What to call; of a module, so that the child finds it.
        *arguments: Its arguments.
        method: How the child starts. Defaults to 'forkserver' where there is one, from a process that has imported torch
            and computed nothing; 'spawn' shares nothing.
    """
    method = method or ('forkserver' if 'forkserver' in multiprocessing.get_all_start_methods() else 'spawn')
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(['torch'])
    with ProcessPoolExecutor(1, context, initializer=quiet_imports) as pool:
        return pool.submit(function, *arguments).result()


def time_rounds(calls: Mapping[str, Callable[[], Any]], timing: Timing,
                say: Callable[[str], Any] = print) -> Dict[str, List[float]]:
    """Time contenders in turn, in rounds whose order alternates, after a round to warm up.

    Args:
        calls: Contenders by name.
        timing: How many rounds, and the clock.
        say: Gets one line for each round.

    Returns:
        dict: Name -> seconds of each round; two for a contender that is :data:`SLOW`, the warm-up being one of them.
    """
    first = {name: _timed(call, timing.clock) for name, call in calls.items()}
    quickest = min(seconds for name, seconds in first.items() if name != FLOOR)
    slow = {name for name, seconds in first.items() if seconds > max(SLOW * quickest, 5)}
    times = {name: [seconds] if name in slow else [] for name, seconds in first.items()}
    for repeat in range(timing.repeats):
        for name in list(calls)[::1 if repeat % 2 == 0 else -1]:
            if name not in slow or len(times[name]) < 2:
                times[name].append(_timed(calls[name], timing.clock))
        say(f'  round {repeat + 1} of {timing.repeats}: ' +
            ', '.join(f'{name} {seconds[-1]:.2f} s' for name, seconds in times.items()))
    return times


def _timed(call: Callable[[], Any], clock: str) -> float:
    """Seconds that a call takes, without dropping the gradients it leaves: that is what its ``forget()``, if any, does."""
    start = CLOCKS[clock]()
    call()
    seconds = CLOCKS[clock]() - start
    if hasattr(call, 'forget'):
        call.forget()
    return seconds


def spread(values: Sequence[float]) -> Dict[str, float]:
    """Median, smallest and largest."""
    return dict(ratio=statistics.median(values), smallest=min(values), largest=max(values))


@dataclass(frozen=True)
class Comparison:
    """A benchmark that goes row by row, mostly of ours beside a rival: what its script declares.

    Args:
        name: Name of the report's files, without suffix.
        description: What is measured.
        repeats: Default number of rounds.
        rows: Rows by name.
        sizes: Options that say how large both sides are, as for :func:`make_parser`; with several values of one each row is
            measured with each.
        sides: Module with ``describe(rows, size)``, which gives facts by name, and with ``build(row, size)``, which gives
            the contenders by name, the rival first, and the pairs to compare: their names, and how many times as fast the
            first is meant to be (none: each with the rival, and the row's number). A benchmark of another kind has
            ``measure(row, size, timing)`` there in place of ``build``, which gives results and seconds.
        check: Called with the command line and what was given; refuses what cannot be.
        table: Shows the results as Markdown.
    """
    name: str
    description: str
    repeats: int
    rows: Mapping[str, Row]
    sizes: Mapping[str, tuple]
    sides: str
    check: Callable[[argparse.ArgumentParser, argparse.Namespace], None]
    table: Optional[Callable[[Sequence[Mapping[str, Any]]], str]] = None

    def parse_args(self, arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
        """Read the command line."""
        parser = make_parser(self.description, self.name, self.repeats, list(self.rows), self.sizes)
        args = parser.parse_args(arguments)
        self.check(parser, args)
        return args

    def main(self) -> None:
        """Measure row by row; the report is complete after each."""
        args = self.parse_args()
        report, timing = Report(args.out, self.name), read_timing(args)
        sides = importlib.import_module(self.sides)  # before processes are forked, which then have what it imports
        size = SimpleNamespace(**{name: getattr(args, name) for name in self.sizes})
        rows = {name: self.rows[name] for name in args.rows}
        report.begin({**timing._asdict(), **in_fresh_process(sides.describe, rows, size)})
        measure = getattr(sides, 'measure', None) or partial(compare, sides.build)
        results: List[Dict[str, Any]] = []
        seconds: Dict[str, Dict[str, List[float]]] = {}
        for name, row, row_size in _each_size(rows, size):
            rounds = timing._replace(repeats=max(1, round(timing.repeats * row.share)))
            found, seconds[name] = in_fresh_process(_measure, measure, row, row_size, rounds)
            results += found
            text = (self.table or comparison_table)(results)
            report.write(text, results=results, seconds=seconds)
        print('\n' + text)

    def run(self) -> int:
        """The script; its exit status."""
        return run_tool(self.main)


def _each_size(rows: Mapping[str, Row], size: SimpleNamespace) -> Iterator[Tuple[str, Row, SimpleNamespace]]:
    """Rows and sizes, with one of the values where a size has several, which name and title say then."""
    several = next((name for name, value in vars(size).items() if isinstance(value, list)), None)
    if several is None:
        yield from ((name, row, size) for name, row in rows.items())
        return
    for (name, row), value in product(rows.items(), dict.fromkeys(getattr(size, several))):
        said = f', {several} {value}'
        yield name + said, replace(row, title=row.title + said), SimpleNamespace(**{**vars(size), several: value})


def _measure(measure: Callable, row: Row, size: Any, timing: Timing) -> tuple:
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(timing.threads)
    return measure(row, size, timing)


def compare(build: Callable, row: Row, size: Any, timing: Timing) -> Tuple[List[Dict[str, Any]], Dict[str, List[float]]]:
    """A row's comparisons, and the seconds by contender."""
    import torch
    from contenders import floor_call, matrix_products
    contenders, pairs = build(row, size)
    theirs, *others = contenders
    flops, products = matrix_products(contenders[theirs])
    print(f'{row.title}: {flops:.0f} GFLOP', flush=True)
    calls = {**contenders, FLOOR: floor_call(products, torch.bfloat16 if row.bf16 else torch.float32)}
    pairs, seconds = pairs or [(ours, theirs, row.wanted) for ours in others], time_rounds(calls, timing)
    return [dict(_compare(row.title, seconds, *pair), giga_flops=flops) for pair in pairs], seconds


def _compare(title: str, times: Mapping[str, List[float]], our_name: str, their_name: str,
             wanted: Optional[float]) -> Dict[str, Any]:
    """Set ours beside theirs, round by round, with the share of the floor's speed that both sides reach."""
    ours, theirs = times[our_name], times[their_name]
    floor, our_seconds, their_seconds = (statistics.median(seconds) for seconds in (times[FLOOR], ours, theirs))
    ratios = [b / a for a, b in zip(ours, theirs)]
    return dict(row=title, ours=our_name, against=their_name, wanted=wanted, **spread(ratios), rounds=len(ratios),
                quickest=min(theirs) / min(ours), our_seconds=our_seconds, their_seconds=their_seconds, floor_seconds=floor,
                our_floor_share=floor / our_seconds, their_floor_share=floor / their_seconds)


def comparison_table(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Comparisons as Markdown."""
    return table(HEADER, [
        (c['row'], c['ours'], c['against'], f'{c["ratio"]:.2f}', f'{c["smallest"]:.2f} to {c["largest"]:.2f}',
         f'{c["quickest"]:.2f}', c['rounds'],
         '' if c['wanted'] is None else f'{c["wanted"]:.2f} ' + ('met' if c['ratio'] >= c['wanted'] else 'MISSED'),
         f'{c["our_seconds"]:.3f}', f'{c["their_seconds"]:.3f}', f'{c["floor_seconds"]:.3f}',
         f'{c["our_floor_share"]:.0%}, {c["their_floor_share"]:.0%}') for c in comparisons])
