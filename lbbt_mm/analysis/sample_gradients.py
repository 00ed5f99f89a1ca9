"""Gradients of each sample of a batch, taken off the backward pass of the whole batch.

What a sample adds to a weight's gradient follows from what the layer got and from the gradient of what it gave: for a linear
layer it is their product over the sample's tokens (Goodfellow, arXiv 1510.01799; opacus, arXiv 2109.12298). So one backward
pass serves all samples, and no gradient of another sample has to be there at the same time.
"""
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from .gsnr import Rows

#: Called with a parameter's name and its gradients.
Take = Callable[[str, Rows], Any]
#: Of each time that a module ran: what it got, and the gradient of what it gave, each ``(B, rows, ...)``
Calls = Sequence[Tuple[Tensor, Tensor]]
Named = Iterator[Tuple[str, Rows]]
#: Numbers that stay in the cache of a CPU's core, with their mean and their variance.
_CACHED = 100_000


def linear_rows(module: nn.Linear, names: Sequence[str], calls: Calls) -> Named:
    """Rows of a linear layer."""
    inputs, grads = _tokens(calls, -2)
    if 'bias' in names:
        yield 'bias', grads.sum(1)
    if 'weight' in names:
        yield 'weight', _products(inputs, grads)


def _products(inputs: Tensor, grads: Tensor) -> Iterator[Tuple[slice, Iterator[Tensor]]]:
    """The products of gradients ``(B, N, D)`` and inputs ``(B, N, C)`` of each sample, ``(D, C)``, by parts.

    One sample after another in the same memory, which on CPUs stays in the cache; the result of torch.bmm would not, and
    that of all samples would be B times as large as the weight.
    """
    width, height = inputs.shape[-1], grads.shape[-1]
    step = max(1, _CACHED // width) if inputs.device.type == 'cpu' else height
    memory = inputs.new_empty(min(step, height), width)
    for start in range(0, height, step):
        part = slice(start, min(start + step, height))
        product = memory[:part.stop - start]
        yield part, (torch.mm(grad.T, got, out=product) for got, grad in zip(inputs, grads[..., part]))


def _tokens(calls: Calls, last: int) -> Tuple[Tensor, Tensor]:
    """Inputs and gradients of all calls as ``(B, N, ...)``, the dimensions up to ``last`` being tokens."""
    if len(calls) == 1:
        return tuple(tensor.flatten(1, last) for tensor in calls[0])
    return tuple(torch.cat([tensor.flatten(1, last) for tensor in tensors], dim=1) for tensors in zip(*calls))


def norm_rows(module: Union[nn.LayerNorm, nn.RMSNorm], names: Sequence[str], calls: Calls) -> Named:
    """Rows of a norm over the last dimensions."""
    normalise = F.layer_norm if isinstance(module, nn.LayerNorm) else F.rms_norm
    inputs, grads = _tokens(calls, -1 - len(module.normalized_shape))
    if 'bias' in names:
        yield 'bias', grads.sum(1)
    if 'weight' in names:
        yield 'weight', (normalise(inputs, module.normalized_shape, eps=module.eps) * grads).sum(1)


def recomputed_rows(module: nn.Module, names: Sequence[str], calls: Calls) -> Named:
    """Rows of any module of one tensor: its forward pass is done again for each sample, and differentiated."""

    def row(name: str, sample: int) -> Tensor:
        with torch.enable_grad():
            parameter = getattr(module, name).detach().to(calls[0][1].dtype).requires_grad_()
            outputs = [functional_call(module, {name: parameter}, (inputs[sample], )) for inputs, _ in calls]
            return torch.autograd.grad(outputs, parameter, [grads[sample] for _, grads in calls], materialize_grads=True)[0]

    for name in names:
        yield name, [(..., (row(name, sample) for sample in range(len(calls[0][0]))))]


#: Modules whose rows need no forward pass.
RULES = ((nn.Linear, linear_rows), (nn.LayerNorm, norm_rows), (nn.RMSNorm, norm_rows))


class Owner:
    """A module that has parameters of its own.

    Args:
        module: It.
        names: What it calls those that are wanted -> what the model calls them.
    """

    def __init__(self, module: nn.Module, names: Mapping[str, str]) -> None:
        self.module, self.names = module, names
        #: How its rows can be had, the quickest first; if there is no way left, each sample needs a backward pass.
        self.methods = [rule for kind, rule in RULES if isinstance(module, kind)] + [recomputed_rows]
        #: Whether its tensors were of less than 32 bits when its rows were had last.
        self.half = False
        #: Whether its rows were compared with what they should be, and were not all 0.
        self.checked = False
        self.forget()

    def forget(self) -> None:
        """Begin another pass."""
        self._runs, self._calls, self._done, self._busy = 0, [], False, False

    def ran(self, inputs: Tensor, output: Tensor, hand_out: Callable[['Owner'], Any]) -> None:
        """Keep what the module got, and have it handed out when the gradients of all that it gave are there."""
        if self._busy:  # it is run again for its rows
            return
        self._runs += 1

        def arrived(grad: Tensor) -> None:
            self._calls.append((inputs, grad))
            if len(self._calls) == self._runs:
                hand_out(self)

        output.register_hook(arrived)

    @torch.no_grad()
    def rows(self, batch_size: int) -> Named:
        """The rows of what has come back, by the model's names; none if nothing has.

        Raises:
            RuntimeError: If they were had before, or the module's tensors are not of the form that its method takes.
        """
        calls, self._calls = self._calls, []
        if not calls:
            return
        if self._done:
            raise RuntimeError(f'{type(self.module).__name__} ran again after its gradients were complete.')
        self._done = self._busy = True
        dtype = torch.promote_types(calls[0][1].dtype, torch.float32)
        self.half = any(tensor.element_size() < 4 for call in calls for tensor in call)
        calls = [tuple(_by_sample(tensor.detach(), batch_size).to(dtype) for tensor in call) for call in calls]
        with torch.autocast(calls[0][0].device.type, enabled=False):
            for local, rows in self.methods[0](self.module, list(self.names), calls):
                yield self.names[local], rows
        self._busy = False


def _by_sample(tensor: Tensor, batch_size: int) -> Tensor:
    """A tensor ``(k * B, ...)`` as ``(B, k, ...)``."""
    if tensor.ndim < 2 or len(tensor) % batch_size:
        raise RuntimeError(f'A tensor {tuple(tensor.shape)} of {batch_size} samples; expected a multiple of rows.')
    return tensor.unflatten(0, (-1, batch_size)).transpose(0, 1)


class SampleGradients:
    """Takes the gradients of each sample off backward passes.

    It assumes which rows of a tensor are a sample's: of ``k * B`` rows, row ``r`` belongs to sample ``r % B`` (so that a
    batch can go through a part of the model twice, side by side). And it assumes that a parameter is used where its module
    is called with one tensor, and nowhere else. :func:`~lbbt_mm.analysis.sample_check.check` finds out where that is not so.

    Args:
        model: The model, not wrapped for several ranks.
        names: Which of its parameters.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self.model, self.names = model, list(names)
        parameters = dict(model.named_parameters(remove_duplicate=False))
        often = Counter(id(parameter) for parameter in parameters.values())
        #: The modules that own them.
        self.owners: List[Owner] = []
        for prefix, module in model.named_modules():
            full = {local: f'{prefix}.{local}'.lstrip('.') for local, _ in module.named_parameters(recurse=False)}
            own = {local: name for local, name in full.items() if name in self.names}
            if own:
                self.owners.append(Owner(module, own))
                if any(often[id(parameters[name])] > 1 for name in own.values()):  # another module uses it too
                    self.owners[-1].methods = []

    @property
    def watched(self) -> List[Owner]:
        """The modules whose gradients are taken off a backward pass."""
        return [owner for owner in self.owners if owner.methods]

    @property
    def unchecked(self) -> List[Owner]:
        """Those of them of which no check has seen a gradient that is not 0."""
        return [owner for owner in self.watched if not owner.checked]

    @property
    def others(self) -> List[str]:
        """Names of the parameters that need a backward pass for each sample."""
        return [name for owner in self.owners if not owner.methods for name in owner.names.values()]

    @contextmanager
    def watch(self, batch_size: int, take: Take, failed: Optional[List[Owner]] = None) -> Iterator[None]:
        """Take the gradients off the forward and backward pass that is done inside a ``with`` block, and change nothing.

        The loss is a mean over samples; what is taken is each sample's share of the gradient, the B-th part of its own, for
        which ratios are the same. What a module got is kept until its gradient is there, even where a model computes its
        activations again in the backward pass to save memory.

        Args:
            batch_size: B, the samples in the pass.
            take: Gets the gradients of each parameter once, in the backward pass or at its end; not those of parameters
                that are among :attr:`others`, or that the loss does not depend on.
            failed: Gets the modules whose method does not suit them. Defaults to None, which raises RuntimeError.
        """

        def hand_out(owner: Owner) -> None:
            try:
                for name, rows in owner.rows(batch_size):
                    take(name, rows)
            except RuntimeError:
                if failed is None:
                    raise
                failed.append(owner)

        def hook(owner: Owner, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            simple = len(args) == 1 and not kwargs and isinstance(args[0], Tensor) and isinstance(output, Tensor)
            if simple and output.requires_grad:
                owner.ran(args[0].detach(), output, hand_out)

        handles = []
        try:
            for owner in self.watched:
                owner.forget()
                handles.append(owner.module.register_forward_hook(partial(hook, owner), with_kwargs=True))
            yield
            for owner in self.watched:  # of which some output was not used
                hand_out(owner)
        finally:
            for handle in handles:
                handle.remove()
            for owner in self.owners:
                owner.forget()
