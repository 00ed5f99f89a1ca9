"""Ways to the mean and variance of the gradients of single samples, of the blocks of a vision transformer."""
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

import torch
import torch.nn.functional as F
from harness import Row, Timing, in_fresh_process, spread, time_rounds
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from lbbt_mm.analysis import sample_gradients
from lbbt_mm.analysis.gsnr import GradientMoments, block_gsnr
from lbbt_mm.analysis.sample_check import by_chunks
from lbbt_mm.analysis.sample_gradients import SampleGradients

HEAD_DIMS, PATCH, CLASSES = 64, 4, 100
LOOP, STEP, WATCHED, DIFFERENCE = 'loop', 'plain pass', 'watched pass', 'ours, off the training (difference)'
Moments = Dict[str, GradientMoments]


class Classifier(nn.Module):
    """mmpretrain's VisionTransformer, a linear head, and the mean loss."""

    def __init__(self, size: SimpleNamespace) -> None:
        super().__init__()
        from mmpretrain.models import VisionTransformer
        arch = dict(embed_dims=size.width, num_layers=size.layers, num_heads=size.width // HEAD_DIMS,
                    feedforward_channels=4 * size.width)
        self.backbone = VisionTransformer(arch=arch, img_size=size.image, patch_size=PATCH)
        self.head = nn.Linear(size.width, CLASSES)

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of images ``(B, 3, H, W)``."""
        return F.cross_entropy(self.head(self.backbone(inputs)[-1]), labels)


class Measurement:
    """A model and a batch, and each way as a method that gives the moments of every parameter.

    Args:
        size: ``layers, width, image, batch, chunk``.
    """

    def __init__(self, size: SimpleNamespace) -> None:
        torch.manual_seed(0)
        self.model, self.size = Classifier(size).train(), size
        self.names = [name for name, _ in self.model.named_parameters() if '.layers.' in name]
        self.batch = dict(inputs=torch.randn(size.batch, 3, size.image, size.image),
                          labels=torch.randint(CLASSES, (size.batch, )))
        self.parameters = dict(self.model.named_parameters())
        self.gradients = SampleGradients(self.model, self.names)

    @property
    def ways(self) -> Dict[str, Callable[[], Moments]]:
        """Name -> way, the loop first."""
        return {LOOP: self.loop, 'torch.func': self.func, 'hooks, a chunk at once': self.chunks_at_once,
                'ours, passes of its own': self.own_passes, STEP: self.step, WATCHED: self.watched}

    def _moments(self) -> Moments:
        return {name: GradientMoments(self.parameters[name]) for name in self.names}

    def _chunks(self) -> Iterator[Dict[str, Tensor]]:
        for start in range(0, self.size.batch, self.size.chunk):
            yield {name: part[start:start + self.size.chunk] for name, part in self.batch.items()}

    def loop(self) -> Moments:
        """A forward and a backward pass for each sample."""
        moments, wanted = self._moments(), [self.parameters[name] for name in self.names]
        for sample in range(self.size.batch):
            loss = self.model(**{name: part[sample:sample + 1] for name, part in self.batch.items()})
            for name, row in zip(self.names, torch.autograd.grad(loss, wanted)):
                moments[name].add([(..., iter([row]))])
        return moments

    def func(self) -> Moments:
        """vmap of grad."""
        fixed = {name: parameter.detach() for name, parameter in self.parameters.items()}

        def loss(wanted: Dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
            return functional_call(self.model, {**fixed, **wanted}, (image[None], label[None]))

        rows_of = vmap(grad(loss), in_dims=(None, 0, 0), randomness='different')
        moments = self._moments()
        for chunk in self._chunks():
            for name, rows in rows_of({name: fixed[name] for name in self.names}, *chunk.values()).items():
                moments[name].add([(..., iter(rows))])
        return moments

    def chunks_at_once(self) -> Moments:
        """Hooks on the modules; all rows of a chunk in one product."""
        rules = sample_gradients.RULES
        for owner in self.gradients.owners:
            if isinstance(owner.module, nn.Linear):
                owner.methods.insert(0, _rows_at_once)
        try:
            return self.own_passes()
        finally:
            for owner in self.gradients.owners:
                owner.methods = [rule for kind, rule in rules if isinstance(owner.module, kind)]

    def own_passes(self) -> Moments:
        """Hooks on the modules; one row after another."""
        moments = self._moments()
        by_chunks(self.gradients, lambda model, batch: model(**batch), self.batch,
                  lambda name, rows: moments[name].add(rows), self.size.chunk)
        return moments

    def step(self) -> Moments:
        """Forward and backward, as the training has them."""
        self.model(**self.batch).backward()
        self.model.zero_grad()
        return {}

    def watched(self) -> Moments:
        """The same, with the rows taken off."""
        moments = self._moments()
        with self.gradients.watch(self.size.batch, lambda name, rows: moments[name].add(rows)):
            self.step()
        return moments


def _rows_at_once(module: nn.Linear, names: List[str], calls: Any) -> Iterator[Tuple[str, Tensor]]:
    """As :func:`lbbt_mm.analysis.sample_gradients.linear_rows`, as a tensor."""
    (inputs, grads), = ((part.flatten(1, -2) for part in call) for call in calls)
    yield 'bias', grads.sum(1)
    yield 'weight', [(..., iter(torch.einsum('bnd,bnc->bdc', grads, inputs)))]


def describe(rows: Mapping[str, Row], size: SimpleNamespace) -> Dict[str, str]:
    """Sizes, and how far the ways' ratios of the blocks are apart, on a small batch."""
    small = Measurement(SimpleNamespace(**{**vars(size), 'batch': min(8, *size.batch), 'chunk': 3}))
    found = {name: _blocks(small, way()) for name, way in small.ways.items() if name != STEP}
    apart = max(abs(one / other - 1) for blocks in found.values() for one, other in zip(blocks, found[LOOP]))
    count = sum(small.parameters[name].numel() for name in small.names)
    return {'sizes': f'width {size.width}, {size.layers} blocks of {count:,} parameters, {(size.image // PATCH)**2 + 1} '
            f'tokens, chunks of {size.chunk}', "largest difference of a block's ratio to the loop's": f'{apart:.1e}'}


def _blocks(measurement: Measurement, moments: Moments) -> List[float]:
    prefixes = [f'backbone.layers.{block}.' for block in range(measurement.size.layers)]
    return [block_gsnr(one for name, one in moments.items() if name.startswith(prefix)).gsnr for prefix in prefixes]


def measure(row: Row, size: SimpleNamespace, timing: Timing) -> Tuple[List[Dict[str, Any]], Dict[str, List[float]]]:
    """Time the ways in turn; then have each in a process of its own, for its memory.

    Args:
        row: What is wanted.
        size: What the options give.
        timing: How it is measured.

    Returns:
        tuple: What the table shows, and the seconds of every way.
    """
    measurement = Measurement(size)
    seconds = time_rounds(measurement.ways, timing)
    memory = {way: in_fresh_process(peak_memory, way, size, timing.threads, method='spawn') for way in seconds}
    seconds[DIFFERENCE] = [watched - plain for watched, plain in zip(seconds[WATCHED], seconds[STEP])]
    memory[DIFFERENCE] = memory[WATCHED] - memory[STEP]
    results = []
    for way, spent in seconds.items():
        ratios = [loop / own for loop, own in zip(seconds[LOOP], spent)]
        shortest = min(seconds[WATCHED]) - min(seconds[STEP]) if way == DIFFERENCE else min(spent)
        results.append(dict(row=row.title, way=way, seconds=statistics.median(spent), shortest=shortest, samples=size.batch,
                            **spread(ratios), quickest=min(seconds[LOOP]) / shortest, memory=memory[way] / (1 << 20),
                            wanted=row.wanted if way == DIFFERENCE else None))
    return results, seconds


def peak_memory(way: str, size: SimpleNamespace, threads: int) -> int:
    """Bytes that a way takes at its peak, above what model and batch take."""
    torch.set_num_threads(threads)
    run = Measurement(size).ways[way]
    before = _status('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # the peak so far was that of imports
    run()
    return _status('VmHWM') - before


def _status(name: str) -> int:
    """A number of this process's /proc status, in bytes."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f'{name}:')))
