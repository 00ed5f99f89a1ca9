"""Whether gradients taken off one backward pass are those of single samples, and if not, how those can be had."""
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .gsnr import Rows, whole_rows
from .sample_batch import count_samples, take_samples, with_gradients
from .sample_gradients import Owner, SampleGradients, Take

#: Gives the mean loss of a batch, of a model.
Loss = Callable[[nn.Module, Any], Tensor]
#: How many samples a check takes.
_FEW = 4
#: How far gradients may differ: a share of what they are, and a share of the largest of the module, for those that are 0 but
#: for rounding. In float32, and in less. What is wrong differs by far more.
_ROUNDING, _ROUNDING_OF_HALF = (1e-3, 1e-4), (2e-2, 1e-2)
#: By which share the gradient of an image may change with the other images.
_MIXED = 1e-2


class MixedSamples(ValueError):
    """The gradient of a sample depends on the other samples of its batch."""


def check(gradients: SampleGradients, loss: Loss, batch: Any) -> None:
    """Find how each module's gradients can be had, by comparing them on a few samples.

    In the mode that the model is in, with the same random draws: the rows of all samples have to add up to the gradient of
    the batch, and the rows of one sample have to be the same beside other samples. Where that is not so, the module gets the
    next of its methods, until none is left; then its parameters are among :attr:`SampleGradients.others`. Where all its
    gradients are 0, as in the first step of a network whose head starts at 0, there is nothing to compare: the module stays
    among :attr:`SampleGradients.unchecked`, to be checked again.

    Args:
        gradients: Has the modules, whose methods are set. Weights, buffers, gradients and torch's random state stay as they
            are.
        loss: The mean loss of a batch.
        batch: Any batch.

    Raises:
        MixedSamples: If samples change each other's gradients, as with BatchNorm in training mode.
    """
    size = count_samples(batch)
    few = max(1, min(_FEW, size // 2))
    first, second = (take_samples(batch, indices) for indices in (range(few), [0, *range(size - few + 1, size)]))
    names = [name for owner in gradients.watched for name in owner.names.values()]
    with _same_draws():
        beside_others, _ = _differentiated(gradients, loss, second)
    with _same_draws():
        image, totals = _differentiated(gradients, loss, first, names)
    _refuse_mixing(gradients.model, image, beside_others)
    while gradients.watched:
        wrong = _wrong(gradients, loss, first, second, totals)
        if not wrong:
            return
        for owner in wrong:
            owner.methods.pop(0)


def _wrong(gradients: SampleGradients, loss: Loss, first: Any, second: Any, totals: Mapping[str, Tensor]) -> List[Owner]:
    """The modules whose rows do not add up to the gradients of the first batch, or that differ beside other samples."""
    failed: List[Owner] = []
    alone: Dict[str, Tensor] = {}
    sums, apart = _Differences(), _Differences()

    def add_up(name: str, rows: Rows) -> None:
        rows = whole_rows(rows)
        alone[name] = rows[0].clone()
        sums.add(name, rows.sum(0), totals[name], rows)

    def compare(name: str, rows: Rows) -> None:
        row = whole_rows(rows)[0]
        apart.add(name, row, alone.get(name, torch.zeros_like(row)), row)

    for batch, take in ((first, add_up), (second, compare)):
        with _same_draws(), gradients.watch(count_samples(batch), take, failed):
            _differentiated(gradients, loss, batch)
    for name in set(totals) - set(alone):  # nothing came back
        zero = torch.zeros_like(totals[name])
        sums.add(name, zero, totals[name], zero)
    for owner in gradients.watched:
        owner.checked = any(sums.sizes[name] for name in owner.names.values())
    return [owner for owner in gradients.watched
            if owner in failed or not (sums.are_small(owner) and apart.are_small(owner))]


def by_loop(gradients: SampleGradients, loss: Loss, batch: Any, take: Take) -> None:
    """Take the gradients of :attr:`SampleGradients.others` off a forward and backward pass for each sample.

    Args:
        gradients: Has the model, which is not changed.
        loss: The mean loss of a batch.
        batch: The batch.
        take: Gets the gradient of each parameter by each sample, one sample after another.
    """
    names = gradients.others
    for sample in range(count_samples(batch) if names else 0):
        _, found = _differentiated(gradients, loss, take_samples(batch, [sample]), names, images=False)
        for name in names:
            take(name, [(..., iter([found.pop(name)]))])


def by_chunks(gradients: SampleGradients, loss: Loss, batch: Any, take: Take, chunk: int) -> None:
    """Take the gradients of all parameters off passes of their own, in as much memory as a few samples need.

    Args:
        gradients: Has the model, which is not changed, and methods that were checked.
        loss: The mean loss of a batch.
        batch: The batch.
        take: Gets the gradients of each parameter, a chunk of samples after another.
        chunk: So many samples are in a pass.
    """
    size = count_samples(batch)
    for start in range(0, size, chunk):
        part = take_samples(batch, range(start, min(start + chunk, size)))
        with gradients.watch(count_samples(part), take):
            _differentiated(gradients, loss, part)
    by_loop(gradients, loss, batch, take)


class _Pass(nn.Module):
    """A forward and backward pass as a module, so that it can be called with other tensors in place of its own."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, batch: Any, wanted: Sequence[Tensor]) -> Sequence[Tensor]:
        """The gradient of the sum of a batch's losses; backward in here too, where activations may be computed again."""
        value = self._loss(self.model, batch) * count_samples(batch)
        return torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True)


def _differentiated(gradients: SampleGradients, loss: Loss, batch: Any, names: Sequence[str] = (),
                    images: bool = True) -> Tuple[List[Tensor], Dict[str, Tensor]]:
    """The sum of the losses of a batch, differentiated.

    Args:
        gradients: Has the model.
        loss: The mean loss of a batch.
        batch: The batch.
        names: By which parameters.
        images: Whether by the images too. Without any image, it is by all parameters, so that there is a backward pass.

    Returns:
        tuple: Gradients by the first image, if asked for, and by the parameters.
    """
    model = gradients.model
    batch, leaves = with_gradients(batch) if images else (batch, [])
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    wanted = names or ([] if leaves else trained)
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    for name in wanted:
        tensors[name].requires_grad_()
    tensors.update((name, buffer.clone()) for name, buffer in model.named_buffers())
    with torch.enable_grad():
        found = functional_call(_Pass(model, loss), {f'model.{name}': tensor for name, tensor in tensors.items()},
                                (batch, [*leaves, *(tensors[name] for name in wanted)]))
    return [grad[0] for grad in found[:len(leaves)]], dict(zip(wanted, found[len(leaves):]))


@contextmanager
def _same_draws() -> Iterator[None]:
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        yield


def _refuse_mixing(model: nn.Module, one: Sequence[Tensor], other: Sequence[Tensor]) -> None:
    """Raise MixedSamples if the gradients of the same image beside other images are others."""
    apart = sum((here - there).norm().item() for here, there in zip(one, other))
    size = sum(here.norm().item() for here in one)
    if apart <= _MIXED * size:
        return
    norms = [name for name, module in model.named_modules()
             if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training]
    reason = (f'{norms[0]} normalises over the batch. Freeze its statistics, or use another norm.' if norms else
              'Its loss, or a part of it, compares or counts samples; there is no gradient of a single sample to measure.')
    raise MixedSamples(f'{type(model).__name__}: the gradient of an image changes by {apart / size:.0%} with the other '
                       f'images of its batch; expected a loss that is a mean over samples. {reason}')


class _Differences:
    """How far two kinds of gradients are apart, by parameter."""

    def __init__(self) -> None:
        #: Name -> what the gradients are, as a root of the mean square.
        self.sizes: Dict[str, float] = {}
        self._apart: Dict[str, float] = {}

    def add(self, name: str, one: Tensor, other: Tensor, rows: Tensor) -> None:
        """Compare two gradients of a parameter; ``rows`` are those of samples that they are made of."""
        self._apart[name] = (one - other).norm().item() / one.numel()**0.5
        self.sizes[name] = rows.norm().item() / one.numel()**0.5

    def are_small(self, owner: Owner) -> bool:
        """Whether the gradients of a module's parameters differ by no more than rounding."""
        share, of_largest = _ROUNDING_OF_HALF if owner.half else _ROUNDING
        sizes = {name: self.sizes.get(name, 0.) for name in owner.names.values()}
        largest = max(sizes.values())
        return all(self._apart.get(name, 0.) <= share * size + of_largest * largest for name, size in sizes.items())
