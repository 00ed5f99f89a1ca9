"""How the covariance of first-layer weights lies to that of the inputs (LBBT, Theorem 4.1; arXiv 2006.10455)."""
import math
from typing import NamedTuple, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: Eigenvalues below this share of the largest count as zero.
_ZERO = 1e-9
#: Rotations that an overlap is averaged over at most: it hardly differs from one to the next, and matching takes time.
_MATCHED = 10
#: Terms of the polynomial that a transfer function is compared with: 1, x, x^2, x^3.
_TERMS = 4


class Eigenspaces(NamedTuple):
    """Eigenspaces of a covariance ``(d, d)``, the largest eigenvalue first.

    Attributes:
        values: Eigenvalues ``(K, )``, in the square of the inputs' unit.
        sizes: Their multiplicities ``(K, )``, which add up to ``d``.
        vectors: An orthonormal basis ``(d, d)``: columns, space after space.
    """
    values: Tensor
    sizes: Tensor
    vectors: Tensor

    @property
    def owners(self) -> Tensor:
        """For each column of ``vectors``, the number of its space ``(d, )``."""
        return torch.repeat_interleave(torch.arange(len(self.sizes)), self.sizes)


class Alignment(NamedTuple):
    """How far a covariance of weights shares the eigenspaces of that of the inputs.

    Attributes:
        alignment: 1 for the same eigenspaces, 0 for what random rotations of the weights give on average; NaN where the
            weights have no direction, their covariance being a multiple of the identity.
        high: 95% of random rotations have at most this alignment.
        overlap: Share of an eigenvector's length that lies in the eigenspace it is matched with, squared; the mean.
        overlap_chance: What random rotations give on average, of 10 at most.
    """
    alignment: float
    high: float
    overlap: float
    overlap_chance: float


class Smoothness(NamedTuple):
    """How smoothly a transfer function goes over the eigenvalues.

    Attributes:
        r2: Variance of tau that a cubic polynomial of log sigma predicts, each point left out in its turn; NaN for fewer
            than 6 points, and where tau is not finite.
        high: 95% of permutations of tau have at most this.
        p: Share of permutations that have as much or more.
        rank: Spearman's rank correlation of sigma and tau.
    """
    r2: float
    high: float
    p: float
    rank: float


class PatchMoments:
    """Mean and covariance of what a convolution sees, over batches of images.

    Args:
        kernel_size: Of the convolution.
        stride: Of the convolution.
        padding: Of the convolution.
        dilation: Of the convolution.
    """

    def __init__(self, kernel_size: Tuple[int, int], stride: Tuple[int, int], padding: Tuple[int, int] = (0, 0),
                 dilation: Tuple[int, int] = (1, 1)) -> None:
        self._unfold = dict(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        #: Patches so far.
        self.count = 0
        self._sum = self._products = 0.

    def add(self, images: Tensor) -> None:
        """Take in images ``(B, C, H, W)``."""
        patches = F.unfold(images.double(), **self._unfold).transpose(1, 2).flatten(0, 1)
        self.count += len(patches)
        self._sum = self._sum + patches.sum(0)
        self._products = self._products + patches.T @ patches

    def covariance(self) -> Tensor:
        """Their covariance ``(d, d)``, in the order of a flattened row of the convolution's weight.

        Raises:
            ValueError: If there are fewer than two patches.
        """
        if self.count < 2:
            raise ValueError(f'{self.count} patches have no covariance. Give more images.')
        mean = self._sum / self.count
        return (self._products - self.count * torch.outer(mean, mean)) / (self.count - 1)


def second_moment(weights: Tensor) -> Tensor:
    """``E[w w^T]`` over weight vectors: the paper's covariance of weights, whose mean is taken to be zero.

    Args:
        weights: A row a vector ``(n, d)``; fewer rows than ``d`` give a singular matrix, which is no error.

    Returns:
        Tensor: ``(d, d)``, float64.
    """
    weights = weights.detach().double()
    return weights.T @ weights / len(weights)


def eigenspaces(covariance: Tensor, tolerance: float = 1e-6) -> Eigenspaces:
    """Decompose a covariance; eigenvalues that hardly differ have one space, in which no direction is an eigenvector's own.

    Args:
        covariance: Symmetric ``(d, d)``; it may be singular, as for pixels that are constant.
        tolerance: What neighbouring eigenvalues of a space differ by at most, as a share of the larger. Defaults to 1e-6.

    Raises:
        ValueError: If it holds what is no number, or has one eigenspace only, so that there is no direction to align with.
    """
    if not torch.isfinite(covariance).all():
        raise ValueError('The covariance of the inputs holds NaN or infinite numbers. Look at the images and their '
                         'normalisation.')
    values, vectors = torch.linalg.eigh(covariance.double())
    values, vectors = values.flip(0), vectors.flip(1)
    values = torch.where(values > _ZERO * values[0], values, 0.)
    starts = torch.cat([torch.tensor([True]), -values.diff() > tolerance * values[:-1]])
    sizes = torch.bincount(starts.cumsum(0) - 1)
    if len(sizes) < 2:
        raise ValueError('The covariance of the inputs is a multiple of the identity: no direction differs from another, '
                         'so there is nothing to align with.')
    means = torch.stack([part.mean() for part in values.split(sizes.tolist())])
    return Eigenspaces(means, sizes, vectors)


def transfer(moment: Tensor, spaces: Eigenspaces) -> Tensor:
    """The transfer function of Theorem 4.1: tau_k = sqrt(mean of u^T Sigma_w u over a basis of eigenspace k).

    Args:
        moment: Sigma_w ``(d, d)``, see :func:`second_moment`.
        spaces: The eigenspaces of Sigma_x.

    Returns:
        Tensor: tau ``(K, )``, in the unit of the weights.
    """
    along = (spaces.vectors * (moment.double() @ spaces.vectors)).sum(0)
    return (_by_space(along, spaces) / spaces.sizes).clamp(min=0.).sqrt()


def align(moment: Tensor, spaces: Eigenspaces, rotations: int = 100, seed: int = 0) -> Alignment:
    """Compare the eigenspaces of two covariances.

    The part of Sigma_w that is no multiple of the identity, B, has the squared norm ``|B|^2``, of which
    ``D = sum_k m_k (tau_k^2 - mean)^2`` lies on the eigenspaces of Sigma_x (``m_k`` their sizes). Of a randomly rotated B
    this share is ``c = 2 (K - 1) / ((d - 1)(d + 2))`` on average, since the rotations act irreducibly on symmetric matrices
    of trace zero; alignment is ``(D / |B|^2 - c) / (1 - c)``. It depends on neither scale, and n weight vectors may be
    fewer than d.

    Args:
        moment: Sigma_w ``(d, d)``, see :func:`second_moment`.
        spaces: The eigenspaces of Sigma_x.
        rotations: How many are drawn for ``high`` and ``overlap_chance``. Defaults to 100.
        seed: Of the rotations. Defaults to 0.

    Raises:
        ValueError: If Sigma_w holds what is no number.
    """
    if not torch.isfinite(moment).all():
        raise ValueError('The covariance of the weights holds NaN or infinite numbers: the training has diverged. Leave it '
                         'out, or take an earlier state.')
    size = len(moment)
    inside = spaces.vectors.T @ moment.double() @ spaces.vectors
    traceless = inside - inside.trace() / size * torch.eye(size, dtype=torch.float64)
    if traceless.norm() <= 1e-9 * inside.norm() or not inside.any():
        return Alignment(*[math.nan] * 4)
    vectors = _own_vectors(inside)
    generator, shares, overlaps = torch.Generator().manual_seed(seed), [], []
    for number in range(rotations):
        turned = _rotation(size, generator)
        shares.append(_share((turned * (traceless @ turned)).sum(0), traceless, spaces))
        if number < _MATCHED:
            overlaps.append(_overlap(turned.T @ vectors, spaces))
    return Alignment(_share(traceless.diagonal(), traceless, spaces), float(np.quantile(shares, 0.95)),
                     _overlap(vectors, spaces), float(np.mean(overlaps)))


def smoothness(sigma: Sequence[float], tau: Sequence[float], permutations: int = 1000, seed: int = 0) -> Smoothness:
    """Say in numbers whether tau is a smooth function of sigma; spaces of sigma = 0 are left out.

    Args:
        sigma: Square roots of the eigenvalues of Sigma_x ``(K, )``.
        tau: The transfer function ``(K, )``.
        permutations: How many are drawn. Defaults to 1000.
        seed: Of the permutations. Defaults to 0.
    """
    from scipy.stats import spearmanr
    sigma, tau = np.asarray(sigma, float), np.asarray(tau, float)
    sigma, tau = sigma[sigma > 0], tau[sigma > 0]
    if len(sigma) < _TERMS + 2 or not np.isfinite(tau).all() or np.ptp(tau) <= 1e-12 * abs(tau).max():
        return Smoothness(*[math.nan] * 4)
    x = np.log(sigma)
    basis = np.linalg.qr(np.vander((x - x.mean()) / x.std(), _TERMS))[0]
    rest = 1 - (basis**2).sum(1)  # of a point's residual, what is left of it when the point is in the fit

    def predicted(values: np.ndarray) -> np.ndarray:
        left_out = (values - values @ basis @ basis.T) / rest
        return 1 - (left_out**2).sum(-1) / ((tau - tau.mean())**2).sum()

    found = float(predicted(tau))
    drawn = predicted(np.random.default_rng(seed).permuted(np.tile(tau, (permutations, 1)), axis=1))
    return Smoothness(found, float(np.quantile(drawn, 0.95)), float((1 + (drawn >= found).sum()) / (1 + permutations)),
                      float(spearmanr(sigma, tau).statistic))


def _by_space(along: Tensor, spaces: Eigenspaces) -> Tensor:
    return torch.zeros(len(spaces.sizes), dtype=torch.float64).index_add_(0, spaces.owners, along)


def _share(along: Tensor, traceless: Tensor, spaces: Eigenspaces) -> float:
    """The alignment of a matrix whose diagonal in the basis of the spaces is ``along``."""
    size, count = len(along), len(spaces.sizes)
    chance = 2 * (count - 1) / ((size - 1) * (size + 2))
    share = float((_by_space(along, spaces)**2 / spaces.sizes).sum() / (traceless**2).sum())
    return (share - chance) / (1 - chance)


def _own_vectors(inside: Tensor) -> Tensor:
    """Eigenvectors of the weights' covariance ``(d, r)``, without those of eigenvalue zero, which are nobody's choice."""
    values, vectors = torch.linalg.eigh(inside)
    return vectors[:, values > _ZERO * values.max()]


def _overlap(vectors: Tensor, spaces: Eigenspaces) -> float:
    """The mean of squared cosines under the best matching of eigenvectors to eigenspaces."""
    from scipy.optimize import linear_sum_assignment
    inside = torch.zeros(len(spaces.sizes), vectors.shape[1], dtype=torch.float64)
    inside.index_add_(0, spaces.owners, vectors**2)
    scores = inside[spaces.owners].numpy()
    return float(scores[linear_sum_assignment(scores, maximize=True)].mean())


def _rotation(size: int, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix, evenly distributed (arXiv math-ph/0609050)."""
    basis, upper = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return basis * upper.diagonal().sign()
