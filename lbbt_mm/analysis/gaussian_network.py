"""A network for which the assumptions of LBBT's Theorem 4.1 hold: Gaussian inputs, isotropic start, SGD, random labels."""
import math
from typing import Iterator, NamedTuple, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = dict(relu=nn.ReLU, gelu=nn.GELU, linear=nn.Identity)
#: The theorem is about SGD; Adam's steps are not those of a turned network, so its proof does not hold for it.
OPTIMIZERS = dict(sgd=torch.optim.SGD, adam=torch.optim.Adam)


class GaussianNetwork(NamedTuple):
    """A network of two layers and its task.

    Attributes:
        dimensions: Of the inputs, d.
        largest: Largest standard deviation of the inputs along an eigenvector of their covariance.
        smallest: The smallest; those between are evenly spaced in their logarithm.
        samples: Inputs, each with a label of its own for the whole training; 0 draws inputs and labels anew at each step.
        classes: Labels are drawn evenly from so many.
        width: Weight vectors of the first layer.
        activation: A name of :data:`ACTIVATIONS`.
        optimizer: A name of :data:`OPTIMIZERS`.
        lr: Its learning rate.
        batch_size: Inputs of a step.
        start_std: Standard deviation of each weight of the first layer at the start. None for ``1 / sqrt(dimensions)``.
    """
    dimensions: int = 30
    largest: float = 2.
    smallest: float = 0.1
    samples: int = 1000
    classes: int = 10
    width: int = 512
    activation: str = 'relu'
    optimizer: str = 'sgd'
    lr: float = 0.1
    batch_size: int = 100
    start_std: float = None

    @property
    def sigma(self) -> Tensor:
        """Standard deviations of the inputs along the eigenvectors of their covariance ``(d, )``, the largest first."""
        return torch.logspace(math.log10(self.largest), math.log10(self.smallest), self.dimensions, dtype=torch.float64)


class Snapshot(NamedTuple):
    """The network after some steps.

    Attributes:
        step: How many.
        weights: Of the first layer ``(width, d)``, along the eigenvectors of the inputs' covariance.
        accuracy: Share of the inputs that have their random label; NaN where they are drawn anew.
    """
    step: int
    weights: Tensor
    accuracy: float


def train_on_random_labels(network: GaussianNetwork, seed: int, steps: Sequence[int]) -> Iterator[Snapshot]:
    """Train a network and look at its first layer.

    The inputs' eigenvectors are drawn too, so that no axis of the weights is one; snapshots are given in their basis.

    Args:
        network: The network and its task.
        seed: Of all that is drawn.
        steps: When to look, ascending; 0 is the start.

    Yields:
        Snapshot: One for each of ``steps``.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    basis = torch.linalg.qr(draw(network.dimensions, network.dimensions))[0]
    scales = network.sigma.float() * basis

    def sample(count: int) -> tuple:
        return draw(count, network.dimensions) @ scales.T, torch.randint(network.classes, (count, ), generator=generator)

    first, last = nn.Linear(network.dimensions, network.width), nn.Linear(network.width, network.classes)
    start = 1 / math.sqrt(network.dimensions) if network.start_std is None else network.start_std
    with torch.no_grad():
        for layer, std in ((first, start), (last, 1 / math.sqrt(network.width))):
            layer.weight.copy_(draw(*layer.weight.shape) * std)
            layer.bias.zero_()
    model = nn.Sequential(first, ACTIVATIONS[network.activation](), last)
    optimizer = OPTIMIZERS[network.optimizer](model.parameters(), lr=network.lr)
    inputs, labels = sample(network.samples)
    for step in range(max(steps) + 1):
        if step in steps:
            with torch.no_grad():
                right = float((model(inputs).argmax(1) == labels).float().mean())
            yield Snapshot(step, (first.weight.detach() @ basis).clone(), right)
        chosen = torch.randint(network.samples, (network.batch_size, ), generator=generator) if network.samples else None
        x, y = (inputs[chosen], labels[chosen]) if network.samples else sample(network.batch_size)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
