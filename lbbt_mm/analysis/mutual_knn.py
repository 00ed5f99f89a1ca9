"""Mutual k-nearest neighbours: how alike two models see the same samples (Huh et al., arXiv 2405.07987).

"Frozen Language Models are Gradient Coherence Rectifiers in Vision Transformers", Eq. 4: the share of a sample's k nearest
neighbours in one model that are among its k nearest in the other, the mean over the samples. Values are clamped, features
brought to unit length, and neighbours are those of the largest inner product, as in the public code of Huh et al.
(minyoungg/platonic-rep at 07ef02a). :mod:`lbbt_mm.analysis.permutation` says what chance gives.

Samples whose features are equal (images with one caption) are equally near to all others. The public code takes those of
them that its sort puts first. Here, samples that tie for the last places share them: m samples for n places are neighbours
with weight n / m. The score is then what breaking ties at random gives on average; without ties it is Eq. 4.
"""
from typing import Any, Dict, NamedTuple, Optional, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

#: How the level is found at which values are clamped; see :func:`clamp_level`.
CLAMPS = ('samples', 'tensor', 'none')
#: Rows of the matrix of similarities that are there at once.
_ROWS = 1024


def clamp_level(layers: Sequence[Tensor], quantile: float = 0.95, rule: str = 'samples') -> float:
    """The magnitude at which a model's features are clamped, one for all of its layers.

    Both rules are the public code's: ``samples``, its default, is the mean over the samples of the quantile of a sample's
    magnitudes over all layers; ``tensor``, its ``--precise``, the quantile of all magnitudes together, the one at place
    ``int(quantile * n)`` of n in order, counted from 0.

    Args:
        layers: Features of each layer ``(N, C)``; C may differ from layer to layer.
        quantile: Of the magnitudes, above 0; 1 clamps nothing. Defaults to 0.95.
        rule: One of :data:`CLAMPS`. Defaults to ``samples``.

    Returns:
        float: The level; infinity where nothing is clamped.

    Raises:
        ValueError: If there is no such rule.
    """
    if rule not in CLAMPS:
        raise ValueError(f'clamp {rule!r}: expected one of {", ".join(CLAMPS)}.')
    if rule == 'none' or quantile >= 1:
        return float('inf')
    if rule == 'samples':
        magnitudes = (torch.cat([layer[index] for layer in layers]).abs() for index in range(len(layers[0])))
        return torch.stack([torch.quantile(found, quantile) for found in magnitudes]).mean().item()
    together = torch.cat([layer.flatten() for layer in layers]).abs()
    return together.kthvalue(int(quantile * together.numel()) + 1).values.item()


def prepare(features: Tensor, level: float = float('inf'), unit_length: bool = True) -> Tensor:
    """Clamp features and bring each sample's to length 1.

    Args:
        features: ``(N, C)``.
        level: What :func:`clamp_level` returns. Defaults to infinity.
        unit_length: Whether to bring them to length 1. Defaults to True.

    Returns:
        Tensor: ``(N, C)``, float64: features of language models have a large common part, beside which float32 rounds.
    """
    features = features.double().clamp(-level, level)
    return F.normalize(features, dim=1) if unit_length else features


class Neighbours(NamedTuple):
    """The nearest neighbours of each of N samples, kept for each of U different features once.

    Attributes:
        k: Places that each sample has for neighbours.
        groups: Which of the different features each sample has, ``(N, )``, int64.
        rows: Different features, ``(M, )``, int64, and ...
        columns: ... which one is near to each, ``(M, )``, int64: all samples that have it are neighbours.
        weights: Of each of these neighbours, 1 without ties; ``(M, )``, float64.
        tied: Samples some of whose neighbours share places.
        twins: Samples whose places are all filled by samples with the very same features.
    """
    k: int
    groups: Tensor
    rows: Tensor
    columns: Tensor
    weights: Tensor
    tied: int = 0
    twins: int = 0

    def matrix(self) -> sparse.csr_matrix:
        """Weight of sample j as a neighbour of sample i, ``(N, N)``; each row sums to k."""
        samples, different = len(self.groups), int(self.groups.max()) + 1
        near = sparse.csr_matrix((self.weights.numpy(), (self.rows.numpy(), self.columns.numpy())), (different, different))
        if different == samples and torch.equal(self.groups, torch.arange(samples)):
            return near
        members = sparse.csr_matrix((np.ones(samples), (np.arange(samples), self.groups.numpy())), (samples, different))
        found = (members @ near @ members.T).tocoo()
        others = found.row != found.col  # a twin is a neighbour, the sample itself is not
        return sparse.csr_matrix((found.data[others], (found.row[others], found.col[others])), (samples, samples))

    def plain(self) -> Dict[str, Any]:
        """All of it in numbers and lists, for a JSON file."""
        return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in self._asdict().items()}

    @classmethod
    def from_plain(cls, found: Dict[str, Any]) -> 'Neighbours':
        """What :meth:`plain` gave."""
        kinds = dict(groups=torch.int64, rows=torch.int64, columns=torch.int64, weights=torch.float64)
        return cls(**{name: torch.tensor(value, dtype=kinds[name]) if name in kinds else value
                      for name, value in found.items()})


def check_samples(samples: int, k: int, what: str = 'samples') -> None:
    """Refuse fewer samples than have k neighbours.

    Args:
        samples: How many there are.
        k: Neighbours of each.
        what: What they are called.

    Raises:
        ValueError: If there are fewer than k + 1.
    """
    if samples < k + 1:
        raise ValueError(f'{samples} {what}, and {k} nearest neighbours of each; expected {k + 1} or more. Give more, or a '
                         f'lower number of neighbours.')


def nearest_neighbours(features: Tensor, k: int = 10) -> Neighbours:
    """The k samples with the largest inner product with each sample, the sample itself left out (S of Eq. 4).

    Args:
        features: What :func:`prepare` returns, ``(N, C)``.
        k: Neighbours of each sample. Defaults to 10.

    Returns:
        Neighbours: The neighbours; samples that tie for the last places share them.

    Raises:
        ValueError: If there are fewer than k + 1 samples, or features that are not finite.
    """
    check_samples(len(features), k)
    if not torch.isfinite(features).all():
        raise ValueError('features that are not finite; expected numbers. The model has diverged, or a file is damaged.')
    different, groups, counts = torch.unique(features, dim=0, return_inverse=True, return_counts=True)
    if len(different) == len(features):  # in their own order
        different, groups = features, torch.arange(len(features))
    parts = [_nearest_of(different, counts, range(first, min(first + _ROWS, len(different))), k)
             for first in range(0, len(different), _ROWS)]
    rows, columns, weights = (torch.cat([part[index] for part in parts]) for index in range(3))
    sharing = torch.zeros(len(different), dtype=torch.bool).index_fill_(0, rows[weights < 1], True)
    return Neighbours(k, groups, rows, columns, weights, int(counts[sharing].sum()), int(counts[counts > k].sum()))


def _nearest_of(different: Tensor, counts: Tensor, numbers: range, k: int) -> Sequence[Tensor]:
    """Rows, columns and weights of some of the different features."""
    own = (torch.arange(len(numbers)), torch.arange(numbers.start, numbers.stop))
    similar = different[numbers.start:numbers.stop] @ different.T
    members = counts.expand(len(numbers), -1).clone()
    members[own] -= 1  # without the sample itself, its twins are nearest, whatever rounding makes of their product
    similar[own] = torch.where(members[own] > 0, torch.inf, -torch.inf).to(similar)
    nearest, places = similar.topk(min(k, len(different)), dim=1)
    filled = members.gather(1, places).cumsum(1)
    edge = nearest.gather(1, (filled < k).sum(1, keepdim=True))  # of the sample that takes the last place
    nearer, tied = similar > edge, similar == edge
    left = k - (members * nearer).sum(1, keepdim=True)
    weights = nearer + tied * (left / (members * tied).sum(1, keepdim=True)).clamp(max=1)
    rows, columns = weights.nonzero(as_tuple=True)
    return rows + numbers.start, columns, weights[rows, columns].double()


def average(features: Tensor, groups: Tensor) -> Tensor:
    """The mean of the features of each group of samples.

    Args:
        features: ``(N, C)``.
        groups: Of each sample, from 0, none empty, ``(N, )``.

    Returns:
        Tensor: ``(U, C)``, float64.
    """
    sums = torch.zeros(int(groups.max()) + 1, features.shape[1], dtype=torch.float64)
    return sums.index_add_(0, groups, features.double()) / groups.bincount()[:, None]


class LayerPairs:
    """Overlaps of neighbours between all layers of one model and all of another, for any way to pair their samples.

    Neighbours of a permuted model are its own, renamed; so they are found once, and a permutation is one product of sparse
    matrices.

    Args:
        first: Neighbours in each layer of one model.
        second: In each layer of the other.

    Raises:
        ValueError: If they are not of the same samples with as many neighbours each.
    """

    def __init__(self, first: Sequence[Neighbours], second: Sequence[Neighbours]) -> None:
        numbers, ks = ({len(found.groups) for found in (*first, *second)}, {found.k for found in (*first, *second)})
        if len(numbers) != 1 or len(ks) != 1:
            shown = ' and '.join(map(str, sorted(numbers if len(numbers) != 1 else ks)))
            raise ValueError(f'{shown} {"samples" if len(numbers) != 1 else "neighbours"} in two models; expected as many '
                             'in both, sample by sample. Give both the same samples.')
        self.samples, self.k = numbers.pop(), ks.pop()
        self._first = _stack(first, self.samples).T.tocsr()
        second = _stack(second, self.samples)
        self._pointers, self._weights = second.indptr, second.data
        self._rows, self._columns = np.divmod(second.indices.astype(np.int64), self.samples)

    @property
    def chance(self) -> float:
        """What the mean over all permutations is, for each pair of layers: k / (N - 1)."""
        return self.k / (self.samples - 1)

    def scores(self, order: Optional[np.ndarray] = None) -> Tensor:
        """The score of each pair of layers.

        Args:
            order: Sample i of the first model is paired with sample ``order[i]`` of the second, ``(N, )``. Defaults to
                None, with sample i.

        Returns:
            Tensor: ``(layers of the first, layers of the second)``, 0 to 1, float64.
        """
        names = np.arange(self.samples) if order is None else np.argsort(order)
        keys = names[self._rows] * self.samples + names[self._columns]
        second = sparse.csr_matrix((self._weights, keys, self._pointers), (len(self._pointers) - 1, self.samples**2))
        return torch.from_numpy((second @ self._first).toarray().T / (self.samples * self.k))


def _stack(layers: Sequence[Neighbours], samples: int) -> sparse.csr_matrix:
    """One row for each layer, one column for each of the N x N pairs of samples."""
    found = [layer.matrix().tocoo() for layer in layers]
    keys = np.concatenate([one.row.astype(np.int64) * samples + one.col for one in found])
    pointers = np.cumsum([0, *(one.nnz for one in found)])
    return sparse.csr_matrix((np.concatenate([one.data for one in found]), keys, pointers), (len(found), samples**2))
