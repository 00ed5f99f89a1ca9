"""What sharelock.py measures, each in a process of its own."""
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Mapping, Tuple

import torch
import torch.nn.functional as F
from harness import CLOCKS, Timing
from torch import Tensor

SCALE = 14.29


def write_stores(folder: str, size: SimpleNamespace) -> None:
    """Write features of twice as many pairs as a batch has."""
    from lbbt_mm.files.feature_store import FeatureIndex, FeatureWriter
    torch.manual_seed(0)
    keys = [f'{row}.jpg' for row in range(2 * size.batch)]
    for kind, width in (('image', size.image), ('text', size.text)):
        rows = min(8192, len(keys))
        index = FeatureIndex(kind, 'random', '0', -1, 'last', 'float32', '0' * 64, len(keys), width, rows)
        writer = FeatureWriter(Path(folder, kind), index, keys)
        for number in writer.missing:
            writer.write(number, torch.randn(len(index.shard_range(number)), width))
        writer.finish()


def measure_steps(settings: Mapping[str, Any], folder: str, size: SimpleNamespace, timing: Timing) -> Dict[str, Any]:
    """Time steps of a training, and how much of them is loading.

    Returns:
        dict: Seconds of a ``step``, loading in it, its ``smallest`` and ``largest``, seconds of ``loading``, its ``share``,
        and the peak of the process's ``memory`` in bytes.
    """
    from mmengine.optim import OptimWrapper
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    from lbbt_mm.registry import MODELS
    torch.manual_seed(0)
    torch.set_num_threads(timing.threads)
    init_default_scope('mmpretrain')
    loader = Runner.build_dataloader(dict(
        batch_size=size.batch, num_workers=0, collate_fn=dict(type='lbbt_mm.collate_pairs'),
        dataset=dict(type='lbbt_mm.FeaturePairs', image_store=f'{folder}/image', text_store=f'{folder}/text'),
        sampler=dict(type='lbbt_mm.PairSampler', batch_size=size.batch)), seed=0)
    model = MODELS.build(dict(
        type='lbbt_mm.ShareLock', accumulate_size=size.accumulate, **settings,
        text_projection=dict(type='lbbt_mm.MLPProjection', in_channels=size.text, out_channels=size.image,
                             hidden_channels=size.hidden)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    wrapper, batches, clock = OptimWrapper(optimizer, clip_grad=dict(max_norm=1.)), iter(loader), CLOCKS[timing.clock]
    loading, steps = [], []
    for step in range(timing.repeats + 1):  # the first one warms up: pages, gradients and Adam's moments
        start = clock()
        batch = next(batches)
        loaded = clock()
        loss = model.train_step(batch, wrapper)['loss'].item()
        end = clock()
        print(f'  step {step}: {end - start:.2f} s, loading {loaded - start:.2f} s, loss {loss:.3f}', flush=True)
        if step:
            loading.append(loaded - start)
            steps.append(end - start)
    share = statistics.median(part / whole for part, whole in zip(loading, steps))
    return dict(step=statistics.median(steps), smallest=min(steps), largest=max(steps), share=share,
                loading=statistics.median(loading), memory=_status('VmHWM'))


def measure_losses(size: SimpleNamespace, timing: Timing) -> Dict[str, Any]:
    """Set ways to the loss beside each other, ours first: memory that another has freed would be there already.

    Returns:
        dict: ``ways``, the ``seconds`` of each, forward and backward, and its ``memory`` in bytes above what there was
        before; and how far the two are ``apart`` in the loss and the gradients, these relative to the largest entry.
    """
    from lbbt_mm.models.losses import InfoNCELoss
    torch.set_num_threads(timing.threads)
    pair, clock = _embeddings(size), CLOCKS[timing.clock]
    ways, found = {}, {}
    for way, loss in (('InfoNCE', InfoNCELoss(SCALE)), ('textbook', textbook)):
        Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
        before, seconds = _status('VmRSS'), []
        for _ in range(timing.repeats):
            start = clock()
            value = loss(*pair)
            gradients = torch.autograd.grad(value, pair)
            seconds.append(clock() - start)
        ways[way] = dict(seconds=statistics.median(seconds), memory=_status('VmHWM') - before)
        found[way] = value.item(), *gradients
        print(f'  {way}: {statistics.median(seconds):.2f} s', flush=True)
    ours, theirs = found.values()
    gradients = {f'gradient of {name}': ((one - other).abs().max() / other.abs().max()).item()
                 for name, one, other in zip(('image', 'text'), ours[1:], theirs[1:])}
    return dict(ways=ways, apart={'loss': abs(ours[0] - theirs[0]), **gradients})


def textbook(image: Tensor, text: Tensor) -> Tensor:
    """Symmetric InfoNCE as it is written down."""
    logits, labels = SCALE * image @ text.t(), torch.arange(len(image))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2


def _embeddings(size: SimpleNamespace) -> Tuple[Tensor, Tensor]:
    """Pairs that are somewhat alike, as those of a training are."""
    torch.manual_seed(0)
    image = torch.randn(size.batch, size.image)
    text = image + 3 * torch.randn(size.batch, size.image)
    return tuple(F.normalize(part, dim=-1).requires_grad_() for part in (image, text))


def _status(name: str) -> int:
    """A number of this process's /proc status, in bytes."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f'{name}:')))
