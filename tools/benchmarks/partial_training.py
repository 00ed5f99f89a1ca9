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
import statistics
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple

from harness import Timing, in_fresh_process, make_parser, read_timing, require_multiple, spread, time_rounds
from report import Report, table

from lbbt_mm.argument_types import count
from lbbt_mm.launch.user_errors import run_tool

WANTED = 1.1
KINDS = ('forward', 'activations', 'weights')
MEASURED = 'training step'
HEADER = ('trained', 'parameters', 'GFLOP counted', 'GFLOP done', 'predicted s', 'measured s', 'measured / predicted',
          'range', 'wanted at most', 'optimizer s', 'gradients MiB', 'AdamW MiB', 'bytes a trained parameter')


@dataclass(frozen=True)
class Case:
    """What is trained.

    Args:
        title: Name in the table.
        trainable: The hook's argument.
        embedding: Whether patch embedding and positions are trained too.
    """
    title: str
    trainable: str
    embedding: bool

    def blocks(self, layers: int) -> Tuple[int, int]:
        """How many of so many blocks hand gradients on, and how many are trained."""
        trained = layers if self.trainable == 'all' else int(self.trainable.split(':')[1])
        return trained if self.trainable.startswith('last') and not self.embedding else layers, trained


ROWS = {
    'first': Case('first 5 blocks', 'first:5', False),
    'last': Case('last block, embedding frozen', 'last:1', False),
    'last-embedding': Case('last block and embedding', 'last:1', True),
    'all': Case('all', 'all', True),
}


def measure_case(case: Case, size: SimpleNamespace, timing: Timing) -> Dict[str, Any]:
    """Time a step and the calibrating calls in turn, and predict the one from the others.

    Args:
        case: What is trained.
        size: What the options give.
        timing: How it is measured.

    Returns:
        dict: What the table shows, the rates in GFLOP/s, and the seconds of every call.
    """
    import torch
    from contenders import count_products, giga_flops
    from partial_training_sides import CHANNELS, CLASSES, PATCH, TrainingStep, calibrating_calls
    torch.manual_seed(0)
    torch.set_num_threads(timing.threads)
    step = TrainingStep(case, size, timing.clock)
    calls = calibrating_calls(step)
    calibration = differences([giga_flops(count_products(call)) for call in calls.values()])
    done = giga_flops(count_products(step))
    step.optimizer.zero_grad(set_to_none=True)
    backward, trained = case.blocks(size.layers)
    patches = 2e-9 * size.batch * (size.image // PATCH)**2 * CHANNELS * PATCH**2 * size.width
    head = 2e-9 * size.batch * size.width * CLASSES
    counted = [share * work + head for share, work in zip((1, backward / size.layers, trained / size.layers), calibration)]
    counted = [counted[0] + patches, counted[1], counted[2] + patches * case.embedding]
    seconds = time_rounds({**calls, MEASURED: step}, timing)
    rates, predicted = [], []
    for times in zip(*(seconds[kind] for kind in KINDS)):
        rates.append([work / max(took, 1e-9) for work, took in zip(calibration, differences(times))])
        predicted.append(sum(work / rate for work, rate in zip(counted, rates[-1])))
    return dict(
        trained=case.title, counted=dict(zip(KINDS, counted)), done=done, predicted_seconds=statistics.median(predicted),
        measured_seconds=statistics.median(seconds[MEASURED]), wanted=WANTED,
        **spread([measured / expected for measured, expected in zip(seconds[MEASURED], predicted)]),
        optimizer_seconds=statistics.median(step.optimizer_seconds[1:]),  # the first one allocates the state
        bytes=step.held, rates=dict(zip(KINDS, map(statistics.median, zip(*rates)))), seconds=seconds)


def differences(values: Tuple[float, ...]) -> Tuple[float, ...]:
    """The first of three values, and what each of the others adds to the one before it."""
    forward, activations, weights = values
    return forward, activations - forward, weights - activations


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


SIZES = dict(
    layers=(count, 24, 'at least 5'),
    width=(count, 512, "a multiple of 64; GPT-2 medium's is 1024"),
    batch=(count, 8, 'images'),
    image=(count, 224, 'height and width, a multiple of 16'))


def main() -> None:
    """Measure row by row; the report is complete after each."""
    parser = make_parser(__doc__.split('\n')[0], 'partial_training', repeats=6, rows=list(ROWS), sizes=SIZES)
    args = parser.parse_args()
    if args.layers < 5:
        parser.error(f'--layers {args.layers}: expected at least 5, which one row trains')
    require_multiple(parser, args, width=64, image=16)
    report, timing = Report(args.out, 'partial_training'), read_timing(args)
    size = SimpleNamespace(**{name: getattr(args, name) for name in SIZES})
    report.begin({**timing._asdict(), 'sizes': f'width {size.width}, {size.layers} blocks, batch {size.batch}, '
                  f'{(size.image // 16)**2} tokens'})
    results: List[Dict[str, Any]] = []
    for case in (ROWS[name] for name in args.rows):
        print(f'{case.title}:', flush=True)
        results.append(in_fresh_process(measure_case, case, size, timing))
        print('  GFLOP/s: ' + ', '.join(f'{kind} {rate:.0f}' for kind, rate in results[-1]['rates'].items()), flush=True)
        report.write(result_table(results), results=results)
    print('\n' + result_table(results))


if __name__ == '__main__':
    sys.exit(run_tool(main))
