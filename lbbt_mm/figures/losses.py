"""A run's training loss as a function of its parameters: on images that stay the same, in evaluation mode, in float32."""
from contextlib import nullcontext
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from lbbt_mm.analysis.parameter_space import first_not_finite
from lbbt_mm.models.layers.language_block import LanguageAttention
from lbbt_mm.random_state import random_state_of
from .image_sizes import stackable
from .preprocessing import preprocess
from .trained import OpenedRun

#: A batch as a model's ``forward`` takes it, and the number of its images.
Batch = Tuple[int, Dict[str, Any]]


def load_batches(run: OpenedRun, model: nn.Module, split: str, most: int, batch_size: int) -> List[Batch]:
    """Load images once, with the labels that the run is trained with, and keep them on the model's device.

    Args:
        run: The run.
        model: Its model, whose data preprocessor normalises them.
        split: Of the run's data, see :meth:`OpenedRun.images`.
        most: How many images.
        batch_size: How many at once.

    Raises:
        ValueError: If there are none.
    """
    batches = [(len(samples), preprocess(model, images, samples, training=True))
               for loaded in run.images(split, most, batch_size)
               for images, samples in stackable(model, *loaded, training=True)]
    if not batches:
        raise ValueError(f'{run.name}: its {split} data set is empty; expected images. Correct its path, or name another '
                         'split.')
    return batches


class FixedLoss:
    """A model's own loss, the mean over fixed images.

    A call gives its value; of auxiliary training that of the main path alone, which is the loss in evaluation mode.
    Dropout, drop path and batch statistics are off, and what a loss draws (a detector's samples of
    boxes) is the same each time. Batches count by their number of images, so that the batch size changes nothing where the
    model's loss is a mean over images.

    Args:
        model: Any model of an mm codebase, in evaluation mode.
        batches: As :func:`load_batches` gives them.
        twice: Whether it is to be differentiated twice: attention is then computed by its written-out formula, and
            activations are kept. Defaults to False.
    """

    def __init__(self, model: nn.Module, batches: Sequence[Batch], twice: bool = False) -> None:
        self.model, self._batches = model.eval(), batches
        self._images = sum(size for size, _ in batches)
        self._twice = twice
        for module in model.modules() if twice else ():
            if isinstance(module, LanguageAttention):
                module.kernel = 'math'
            if getattr(module, 'with_cp', False):
                module.with_cp = False

    @torch.no_grad()
    def __call__(self) -> float:
        """The loss."""
        return float(sum(self.terms()))

    def terms(self) -> Iterator[Tensor]:
        """What each batch adds to the loss, with its graph."""
        for size, batch in self._batches:
            yield self._loss(batch) * (size / self._images)

    def used_parameters(self) -> Dict[str, nn.Parameter]:
        """The trainable parameters that the loss depends on, by name: a detector's may be of some of the batches only.

        Raises:
            ValueError: If it depends on none, or the loss of a batch does.
        """
        trainable = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        used, without = set(), []
        for number, term in enumerate(self.terms(), 1):
            if not term.requires_grad:
                without.append(number)
            elif len(used) < len(trainable):
                found = torch.autograd.grad(term, tuple(trainable.values()), allow_unused=True)
                used |= {name for name, part in zip(trainable, found) if part is not None}
        if not used:
            raise ValueError('its loss depends on no trainable parameter; expected a run that trains. Give another.')
        if without:
            raise ValueError(f'its loss on {len(without)} of {len(self._batches)} batches (the first is number '
                             f'{without[0]}) depends on no trainable parameter; expected images in each that the model '
                             'learns from. Give a larger --batch-size, or other images: --max-samples, --split.')
        return {name: parameter for name, parameter in trainable.items() if name in used}

    def gradient(self, parameters: Dict[str, nn.Parameter]) -> Dict[str, Tensor]:
        """The gradient, by name.

        Args:
            parameters: Some of the model's parameters; those that a batch does not use add 0 there.
        """
        total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        for term in self.terms():
            found = torch.autograd.grad(term, tuple(parameters.values()), materialize_grads=True)
            for known, part in zip(total.values(), found):
                known += part
        return total

    def _loss(self, batch: Dict[str, Any]) -> Tensor:
        from torch.nn.attention import SDPBackend, sdpa_kernel
        with random_state_of(0), sdpa_kernel(SDPBackend.MATH) if self._twice else nullcontext():  # of layers not ours
            return self.model.parse_losses(self.model(**batch, mode='loss'))[0]


def refuse_diverged(label: str, model: nn.Module) -> None:
    """Refuse a model with weights that are not finite.

    Args:
        label: What the run is called.
        model: Its model.

    Raises:
        ValueError: If it has some.
    """
    name = first_not_finite(dict(model.named_parameters()))
    if name:
        raise ValueError(f'{label}: {name} has values that are not finite, so the run has diverged; expected finite '
                         'weights. Leave the run out, or give an earlier checkpoint.')


def check_ends(runs: Sequence[OpenedRun]) -> None:
    """Look at the checkpoints of runs before long work begins.

    Args:
        runs: The runs.

    Raises:
        CheckpointMisfit: If one is another model's.
        ValueError: If a run has diverged.
    """
    for run in runs:
        refuse_diverged(run.name, run.at_end())
