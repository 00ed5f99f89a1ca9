"""Contenders that take turns: timing in rounds, the ratios round by round, and their table."""
import argparse
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from benchmark_report import markdown_table
from torch import Tensor, nn

from lbbt_mm.argument_types import count

# A call that takes so many times as long as the quickest contender's is measured twice only.
SLOW = 8
FLOOR = 'matrix products'
HEADER = ('row', 'ours', 'against', 'times as fast', 'range', 'quickest calls', 'rounds', 'wanted', 'our s', 'their s',
          'floor s', 'share of the floor: ours, theirs')
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


class Contender:
    """A model's pass as a call that can be timed: forward and backward, or forward alone in evaluation mode.

    Args:
        model: The model.
        run: Runs it once and returns its output.
        training: Whether the mean magnitude of the output is taken back through the model (the mean square would be no
            loss: a norm at the end keeps it constant, and gradients would be rounding errors).
        bf16: Under bfloat16 autocast, or in float32.
        forget: Drops the gradients; outside the timed part. Defaults to None, those of the model's parameters.
    """

    def __init__(self,
                 model: nn.Module,
                 run: Callable[[], Tensor],
                 training: bool,
                 bf16: bool,
                 forget: Optional[Callable[[], None]] = None) -> None:
        self.run, self.training, self.bf16 = run, training, bf16
        self.forget = forget or model.zero_grad
        model.train(training)

    def __call__(self) -> None:
        """Run once."""
        with torch.set_grad_enabled(self.training):
            with torch.autocast('cpu', torch.bfloat16, enabled=self.bf16):
                output = self.run()
            if self.training:
                output.float().abs().mean().backward()


def time_rounds(calls: Dict[str, Callable[[], None]], repeats: int, clock: Callable[[], float]) -> Dict[str, List[float]]:
    """Time contenders in turn, in rounds whose order alternates, after a round to warm up.

    Args:
        calls: Contenders by name; see :func:`timed`.
        repeats: Number of rounds.
        clock: Gives seconds.

    Returns:
        dict: Name -> seconds of each round; two for a contender that is :data:`SLOW`, the warm-up being one of them.
    """
    times = {name: [timed(call, clock)] for name, call in calls.items()}
    quickest = min(seconds[0] for name, seconds in times.items() if name != FLOOR)
    slow = {name for name, seconds in times.items() if seconds[0] > max(SLOW * quickest, 5)}
    times = {name: seconds if name in slow else [] for name, seconds in times.items()}
    for repeat in range(repeats):
        for name in list(calls)[::1 if repeat % 2 == 0 else -1]:
            if name not in slow or len(times[name]) < 2:
                times[name].append(timed(calls[name], clock))
        print(f'  round {repeat + 1} of {repeats}: ' +
              ', '.join(f'{name} {seconds[-1]:.2f} s' for name, seconds in times.items()), flush=True)
    return times


def timed(call: Callable[[], None], clock: Callable[[], float]) -> float:
    """Seconds that a call takes, without dropping the gradients it leaves: that is what its ``forget()``, if any, does."""
    start = clock()
    call()
    seconds = clock() - start
    if hasattr(call, 'forget'):
        call.forget()
    return seconds


def compare(title: str, pairs: Sequence[Tuple[str, str, Optional[float]]],
            times: Dict[str, List[float]]) -> List[Dict[str, Any]]:
    """Set ours beside theirs, round by round.

    Args:
        title: Name of the row.
        pairs: Ours, theirs, and how many times as fast ours is meant to be.
        times: What :func:`time_rounds` gave.

    Returns:
        list[dict]: One comparison each, with the ratios and the share of the floor's speed that both sides reach.
    """
    floor = statistics.median(times[FLOOR])
    comparisons = []
    for ours, theirs, wanted in pairs:
        ratios = [b / a for a, b in zip(times[ours], times[theirs])]
        our_seconds, their_seconds = (statistics.median(times[name]) for name in (ours, theirs))
        comparisons.append(
            dict(row=title, ours=ours, against=theirs, ratio=statistics.median(ratios), smallest=min(ratios),
                 largest=max(ratios), quickest=min(times[theirs]) / min(times[ours]), rounds=len(ratios), wanted=wanted,
                 our_seconds=our_seconds, their_seconds=their_seconds, floor_seconds=floor,
                 our_floor_share=floor / our_seconds, their_floor_share=floor / their_seconds))
    return comparisons


def table(comparisons: List[Dict[str, Any]]) -> str:
    """Comparisons as Markdown."""
    lines = []
    for c in comparisons:
        wanted = '' if c['wanted'] is None else f'{c["wanted"]:.2f} ' + ('met' if c['ratio'] >= c['wanted'] else 'MISSED')
        lines.append((c['row'], c['ours'], c['against'], f'{c["ratio"]:.2f}', f'{c["smallest"]:.2f} to {c["largest"]:.2f}',
                      f'{c["quickest"]:.2f}', c['rounds'], wanted, f'{c["our_seconds"]:.3f}', f'{c["their_seconds"]:.3f}',
                      f'{c["floor_seconds"]:.3f}', f'{c["our_floor_share"]:.0%}, {c["their_floor_share"]:.0%}'))
    return markdown_table(HEADER, lines)


def in_fresh_process(function: Callable, *arguments: Any) -> Any:
    """A function's result, computed by a child that shares nothing with other calls but the imported modules."""
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else None
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.apply(function, arguments)


def add_timing_options(parser: argparse.ArgumentParser, rows: Sequence[str], report: str, repeats: int) -> None:
    """Give a benchmark's command line the options that all of them have.

    Args:
        parser: The command line.
        rows: Names of the rows.
        report: Name of the files, without suffix.
        repeats: Default number of rounds.
    """
    parser.add_argument('--repeats', type=count, default=repeats, help='rounds, after one to warm up')
    parser.add_argument('--threads', type=count, default=torch.get_num_threads())
    parser.add_argument('--clock', choices=CLOCKS, default='wall', help='cpu with --threads 1: fair on a busy machine')
    parser.add_argument('--rows', nargs='+', choices=rows, default=list(rows), metavar='ROW', help=' '.join(rows))
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmarks'), help=f'folder for {report}.json and .md')
