"""Time partial training (LBBT, Tables 8 and 12) beside what the counted work predicts, and add up what it allocates.

The work is counted in matrix products, of three kinds: the forward pass of everything; the gradients of activations, from
the loss down to the first trainable parameter; the gradients of the trained parts' weights. A stack of the same blocks,
with nothing else and no hook, gives the rate of each kind: of its forward pass without gradients; of what a backward pass
to its input adds to that, all weights frozen (keeping activations for it is part of the price); of what the weights'
gradients add to that. The prediction is the sum over the kinds of work / rate. The three calibrating calls and the
training step take turns in every round, and a row's ratio is the median over rounds; each row has a process of its own.

"GFLOP done" is what torch's counter sees in a real step: work that no trained parameter needs would show there, whatever
the clock says. The model is LLMBackbone and a linear head, frozen by lbbt_mm.PartialFreezeHook; head and final norm always
train. The optimizer is AdamW; its step is timed apart. Memory is what gradients and optimizer state really hold.
"""
import argparse
import logging
import statistics
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Tuple

import torch
import torch.nn.functional as F
from benchmark_report import fact_lines, machine_facts, markdown_table, refuse_other_report, write_report
from interleaved_rounds import CLOCKS, add_timing_options, in_fresh_process, time_rounds
from llm_backbone_contenders import CHANNELS, PATCH, Sizes, our_backbone
from matrix_floor import Work, block_work, giga_flops, linear_work
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lbbt_mm.argument_types import count
from lbbt_mm.engine.hooks import PartialFreezeHook
from lbbt_mm.models.layers import LanguageBlock

HEAD_DIMS, CLASSES = 64, 100
EMBEDDING = ('backbone.patch_embed', 'backbone.pos_embed')
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


ROWS = {
    'first': Case('first 5 blocks', 'first:5', False),
    'last': Case('last block, embedding frozen', 'last:1', False),
    'last-embedding': Case('last block and embedding', 'last:1', True),
    'all': Case('all', 'all', True),
}


class Classifier(nn.Module):
    """LLMBackbone with GPT-2's kind of block, and a linear head.

    Args:
        width: Channels, a multiple of 64.
        sizes: Sizes.
    """

    def __init__(self, width: int, sizes: Sizes) -> None:
        super().__init__()
        fields = dict(model_type='gpt2', n_embd=width, n_head=width // HEAD_DIMS, n_inner=4 * width, initializer_range=0.02)
        self.backbone = our_backbone(fields, sizes)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to logits ``(B, 100)``."""
        return self.head(self.backbone(images)[0])


class TrainingStep:
    """Forward and backward pass of a model that is trained in part.

    Args:
        case: What is trained.
        width: Channels.
        sizes: Sizes.
        clock: Times the optimizer's steps.
    """

    def __init__(self, case: Case, width: int, sizes: Sizes, clock: Callable[[], float]) -> None:
        self.model, self.clock = Classifier(width, sizes).train(), clock
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=0.05)
        runner = SimpleNamespace(model=self.model, optim_wrapper=OptimWrapper(self.optimizer),
                                 logger=logging.getLogger('partial_training'))
        also = ('backbone.norm', 'head') + (EMBEDDING if case.embedding else ())
        PartialFreezeHook(trainable=case.trainable, also=also).before_run(runner)
        self.images = torch.randn(sizes.batch, CHANNELS, sizes.image, sizes.image)
        self.labels = torch.randint(CLASSES, (sizes.batch, ))
        self.optimizer_seconds: List[float] = []
        self.held: Dict[str, int] = {}

    def __call__(self) -> None:
        """Run once."""
        F.cross_entropy(self.model(self.images), self.labels).backward()

    def forget(self) -> None:
        """Take the optimizer's step, timed apart; note what gradients and optimizer state hold; drop the gradients."""
        start = self.clock()
        self.optimizer.step()
        self.optimizer_seconds.append(self.clock() - start)
        parameters = list(self.model.parameters())
        state = [value for values in self.optimizer.state.values() for value in values.values()]
        self.held = dict(
            trained=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
            parameters=sum(parameter.numel() for parameter in parameters),
            gradients=sum(parameter.grad.nbytes for parameter in parameters if parameter.grad is not None),
            optimizer=sum(value.nbytes for value in state if isinstance(value, Tensor)))
        self.optimizer.zero_grad(set_to_none=True)


class BlockStack:
    """The same blocks with nothing around them, to measure rates with.

    Args:
        step: The training step, whose blocks have the shape wanted.
    """

    def __init__(self, step: TrainingStep) -> None:
        backbone = step.model.backbone
        self.blocks = nn.ModuleList(LanguageBlock(block.spec) for block in backbone.blocks)
        self.tokens = torch.randn(len(step.images), backbone.pos_embed.shape[1], backbone.embed_dims)

    def forward(self) -> None:
        """Forward pass without gradients."""
        with torch.no_grad():
            self._run(self.tokens)

    def activations(self) -> None:
        """Forward, and backward to the input with all weights frozen."""
        self._train(False)

    def weights(self) -> None:
        """Forward, and backward to the input and all weights."""
        self._train(True)

    def _train(self, weights: bool) -> None:
        self.blocks.requires_grad_(weights)
        self._run(self.tokens.detach().requires_grad_()).square().mean().backward()
        self.blocks.zero_grad(set_to_none=True)

    def _run(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def count_work(case: Case, width: int, sizes: Sizes, spec) -> Tuple[Work, Work]:
    """Count the products that a step needs, from the case alone.

    Returns:
        tuple[Work, Work]: Of the step, and of a stack of as many blocks of which everything is trained.
    """
    block, rows = block_work(spec, sizes.batch, sizes.tokens), sizes.batch * sizes.tokens
    trained = sizes.layers if case.trainable == 'all' else int(case.trainable.split(':')[1])
    first = sizes.layers - trained if case.trainable.startswith('last') and not case.embedding else 0
    step = (linear_work(rows, CHANNELS * PATCH**2, width).times(1, 0, int(case.embedding))
            + block.times(sizes.layers, sizes.layers - first, trained) + linear_work(sizes.batch, width, CLASSES))
    return step, block.times(*3 * [sizes.layers])


def count_done(case: Case, width: int, sizes: Sizes, threads: int) -> float:
    """GFLOP that torch's counter sees in a step (attention as plain products: it does not know the fused kernel)."""
    torch.set_num_threads(threads)
    step = TrainingStep(case, width, sizes, CLOCKS['wall'])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return 1e-9 * counter.get_total_flops()


def measure_case(case: Case, width: int, sizes: Sizes, repeats: int, threads: int, clock: str) -> Dict[str, Any]:
    """Time a step and the calibrating calls in turn, and predict the one from the others.

    Returns:
        dict: What the table shows, the rates in GFLOP/s, and the seconds of every call.
    """
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    step = TrainingStep(case, width, sizes, CLOCKS[clock])
    stack = BlockStack(step)
    work, calibration = count_work(case, width, sizes, step.model.backbone.blocks[0].spec)
    times = time_rounds({kind: getattr(stack, kind) for kind in KINDS} | {MEASURED: step}, repeats, CLOCKS[clock])
    rates: Dict[str, List[float]] = {kind: [] for kind in KINDS}
    predicted = []
    for forward, activations, weights in zip(*(times[kind] for kind in KINDS)):
        seconds = 0.
        for kind, took in zip(KINDS, (forward, activations - forward, weights - activations)):
            rates[kind].append(giga_flops(getattr(calibration, kind)) / max(took, 1e-9))
            seconds += giga_flops(getattr(work, kind)) / rates[kind][-1]
        predicted.append(seconds)
    ratios = [measured / expected for measured, expected in zip(times[MEASURED], predicted)]
    return dict(
        trained=case.title, counted={kind: giga_flops(getattr(work, kind)) for kind in KINDS},
        predicted_seconds=statistics.median(predicted), measured_seconds=statistics.median(times[MEASURED]),
        ratio=statistics.median(ratios), smallest=min(ratios), largest=max(ratios), wanted=WANTED,
        optimizer_seconds=statistics.median(step.optimizer_seconds[1:]),  # the first one allocates the state
        bytes=step.held, rates={kind: statistics.median(rate) for kind, rate in rates.items()}, seconds=times)


def table(results: List[Dict[str, Any]]) -> str:
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
    return markdown_table(HEADER, lines)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--layers', type=count, default=24, help='at least 5')
    parser.add_argument('--width', type=count, default=512, help="a multiple of 64; GPT-2 medium's is 1024")
    parser.add_argument('--batch', type=count, default=8, help='images')
    parser.add_argument('--image', type=count, default=224, help=f'height and width, a multiple of {PATCH}')
    add_timing_options(parser, list(ROWS), 'partial_training', repeats=6)
    args = parser.parse_args()
    if args.layers < 5:
        parser.error(f'--layers {args.layers}: expected at least 5, which one row trains')
    for name, unit in (('width', HEAD_DIMS), ('image', PATCH)):
        if getattr(args, name) < unit or getattr(args, name) % unit:
            parser.error(f'--{name} {getattr(args, name)}: expected a multiple of {unit}')
    return args


def main() -> None:
    """Measure row by row; the files are complete after each."""
    args = parse_args()
    refuse_other_report(args.out, 'partial_training')
    sizes = Sizes(args.layers, args.image, args.batch)
    facts = machine_facts(args.threads)
    facts['clock'] = args.clock
    facts['sizes'] = f'width {args.width}, {sizes.layers} blocks, batch {sizes.batch}, {sizes.tokens} tokens'
    facts['rounds'] = args.repeats
    print('\n'.join(fact_lines(facts)), flush=True)
    results: List[Dict[str, Any]] = []
    for name in args.rows:
        case = ROWS[name]
        print(f'{case.title}:', flush=True)
        result = in_fresh_process(measure_case, case, args.width, sizes, args.repeats, args.threads, args.clock)
        result['done'] = in_fresh_process(count_done, case, args.width, sizes, args.threads)
        print('  GFLOP/s: ' + ', '.join(f'{kind} {rate:.0f}' for kind, rate in result['rates'].items()), flush=True)
        results.append(result)
        markdown = '\n'.join([*fact_lines(facts), '', table(results)])
        write_report(args.out, 'partial_training', dict(facts=facts, results=results), markdown)
    print('\n' + table(results))


if __name__ == '__main__':
    main()
