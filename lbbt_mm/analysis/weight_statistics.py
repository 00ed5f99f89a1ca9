"""Outliers and tails of one tensor: exact counts and orders without sorting it, and without holding it.

A number of 16 bits is one of 65,536, so one count of these patterns says all that there is to say. Of 32-bit numbers the
upper halves are counted; then the few patterns in which a median, a threshold or the tail lies are looked at again, number
by number. LBBT (section 3, Figs. 2, 10, 11, 14) shows outliers without a rule; its public code counts absolute values
above 1.
"""
import math
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from .bit_patterns import AT_ONCE, PATTERNS, bounds_of_patterns, count_patterns, patterns_of

#: The median distance from the mean of a normal distribution, in standard deviations.
NORMAL_QUARTILE = 0.6744897501960817
#: Distances from the mean, in standard deviations, for which the number of weights further away is told.
DISTANCES = np.geomspace(0.1, 1000, 41)
#: With fewer numbers in the tail, Hill's estimate says nothing.
FEWEST_IN_TAIL = 10
OUTLIERS = ('outliers_absolute', 'outliers_std', 'outliers_robust')
#: Numbers computed with at once, few enough for the processor's cache.
_IN_CACHE = 2**16
#: 32-bit numbers that are kept between passes; of a larger tensor the pieces are read again.
_HELD = 2**25


class Rules(NamedTuple):
    """What an outlier is, and what the tail.

    Attributes:
        absolute: Absolute value above this; the public code's rule.
        std: More than so many standard deviations of its tensor from the tensor's mean.
        robust: A modified z-score, ``0.6745 |w - median| / MAD`` of its tensor, above this (Iglewicz and Hoaglin, 1993).
        tail: Share of a tensor's weights, the largest by absolute value, that Hill's index is estimated from.
    """
    absolute: float = 1.
    std: float = 6.
    robust: float = 6.
    tail: float = 0.01


DEFAULT_RULES = Rules()


def describe(read: Callable[[], Iterable[Tensor]], rules: Rules = DEFAULT_RULES) -> Dict[str, Any]:
    """Describe the weights of one tensor.

    Args:
        read: Gives the tensor piece by piece, each of any shape and of one floating-point type; called again where more than
            one pass is needed (16-bit types need one). Numbers of 64 bits are rounded to 32.
        rules: What an outlier is.

    Returns:
        dict: ``weights``, how many there are; ``outliers_absolute``, ``outliers_std`` and ``outliers_robust``; ``largest``
        absolute value; ``mean``, ``std`` (n in the denominator), ``median``, ``mad``; ``kurtosis``, in excess of a normal
        distribution's; ``hill``, the tail index ``1 / mean(log(|w|_i / |w|_(k+1)), i = 1..k)`` of Hill (1975), lower for a
        heavier tail; ``further``, how many lie further from the mean than each of :data:`DISTANCES` (of 32-bit numbers to
        1 % of the distance); ``density``, pattern of :func:`density_edges` -> count, as text for JSON. NaN is what is not
        defined: kurtosis and outliers by std of equal numbers, by MAD where that is 0, the index of a tail of fewer than 10
        numbers or of equal ones.

    Raises:
        ValueError: If there is no number, or one is NaN or infinite; the message is a phrase.
    """
    values = _Values(read)
    while True:
        found = values.describe(rules)
        if not values.refine():
            return found


def density_edges() -> Tuple[np.ndarray, np.ndarray]:
    """The bins of ``density``: values with one sign and exponent, and with one of eight parts of the range that these leave.

    Returns:
        tuple: Least and largest absolute value of each, ``(4096, )``; the bins from 2,048 on are of negative values.
    """
    near, far = (np.abs(edge) for edge in bounds_of_patterns(torch.float32))
    return np.minimum(near, far)[::16], np.maximum(near, far)[15::16]


def combine(parts: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """Describe several tensors together.

    Args:
        parts: What :func:`describe` gives of each.

    Returns:
        dict: ``tensors`` and ``weights``; sums of the outliers, over tensors that have a number for it (NaN where none has),
        and the weights of these tensors, such as ``outliers_std_of``;
        ``largest``; ``std`` of all weights together; ``kurtosis`` and ``hill`` of the tensor in which the median weight
        lies, when tensors are ordered by it: of all together they would tell mostly how much the tensors' scales differ.
    """
    weights, means, stds = (np.array([part[name] for part in parts], float) for name in ('weights', 'mean', 'std'))
    mean = (weights * means).sum() / weights.sum()
    found = dict(tensors=len(parts), weights=int(weights.sum()))
    for name in OUTLIERS:
        known = [part for part in parts if not math.isnan(part[name])]
        found[name] = sum(part[name] for part in known) if known else math.nan
        found[f'{name}_of'] = sum(part['weights'] for part in known)
    return dict(found, largest=max(part['largest'] for part in parts),
                std=float(np.sqrt((weights * (stds**2 + (means - mean)**2)).sum() / weights.sum())),
                kurtosis=_of_middle_weight(parts, 'kurtosis'), hill=_of_middle_weight(parts, 'hill'))


def _of_middle_weight(parts: Sequence[Mapping[str, Any]], name: str) -> float:
    known = sorted((part[name], part['weights']) for part in parts if not math.isnan(part[name]))
    below = np.cumsum([count for _, count in known])
    return known[int(np.searchsorted(below, below[-1] / 2))][0] if known else math.nan


class _Values:
    """Values of a tensor in order, with how often each is there; where it is known of an interval only, the interval."""

    def __init__(self, read: Callable[[], Iterable[Tensor]]) -> None:
        self._read: Callable[[], Iterable[Tensor]] = read
        self._held: List[Tensor] = []
        counts, sums, shift, dtype = self._count()
        there, self.size = np.flatnonzero(counts > 0), int(counts.sum())
        low, high = (edge[there] for edge in bounds_of_patterns(dtype))
        if not self.size:
            raise ValueError('is empty; expected weights')
        if not np.isfinite(low + high).all():
            raise ValueError('holds NaN or infinity; expected finite numbers')
        if dtype is not torch.float32:
            shift = float(low @ counts[there]) / self.size
            far = low - shift
            square = far * far
            sums = np.array([part @ counts[there] for part in (far, square, square * far, square * square)])
        self._moments = _moments(sums / self.size, shift)
        self._set(there, low, high, counts[there])

    def _set(self, patterns: np.ndarray, low: np.ndarray, high: np.ndarray, counts: np.ndarray) -> None:
        order = np.argsort(low, kind='stable')
        self._patterns, self._low, self._high, self._counts = (part[order] for part in (patterns, low, high, counts))
        self._wanted, self._has_intervals = np.zeros(len(order), bool), bool((low < high).any())

    # ------------------------------------------------------------------------------------------- passes over the tensor
    def _parts(self) -> Iterator[Tensor]:
        if self._held:
            yield from self._held
            return
        held, room = [], _HELD
        for piece in self._read():
            for part in piece.flatten().split(AT_ONCE):
                part = (part.float() if part.dtype is torch.float64 else part).contiguous()
                room -= part.numel()
                if part.dtype is torch.float32 and room >= 0:
                    held.append(part)
                else:
                    held.clear()
                yield part
        self._held = held

    def _count(self) -> Tuple[np.ndarray, Any, float, torch.dtype]:
        """Count patterns, and sum powers of 32-bit numbers about one near their mean."""
        counts, sums, shift, dtype = np.zeros(PATTERNS, np.int64), np.zeros(4), None, torch.float32
        for part in self._parts():
            dtype = part.dtype
            counts += count_patterns(patterns_of(part))
            if dtype is torch.float32 and part.numel():
                shift = float(part.mean()) if shift is None else shift
                sums += sum(_powers(some, shift) for some in part.split(_IN_CACHE))
        return counts, sums, shift, dtype

    def refine(self) -> bool:
        """Count the single values of the intervals that were noted, in one pass; False where there were none."""
        if not self._wanted.any():
            return False
        chosen = torch.zeros(PATTERNS, dtype=torch.bool)
        chosen[torch.from_numpy(self._patterns[self._wanted])] = True
        each = (np.unique(some.numpy()[chosen.index_select(0, patterns_of(some).int()).numpy()], return_counts=True)
                for part in self._parts() for some in part.split(_IN_CACHE))
        values, counts = map(np.concatenate, zip(*each))
        rest = ~self._wanted  # a value may be there several times, once for each part
        self._set(np.r_[self._patterns[rest], np.zeros(len(values), np.int64)], np.r_[self._low[rest], values],
                  np.r_[self._high[rest], values], np.r_[self._counts[rest], counts])
        return True

    # ---------------------------------------------------------------------------------------------------------- answers
    def describe(self, rules: Rules) -> Dict[str, Any]:
        """What :func:`describe` gives; the intervals whose single values are needed for it are noted."""
        (mean, std, kurtosis), equal = self._moments, self._low[0] == self._high[-1]
        median = self._middle(self._low, self._high)
        near, far = _sorted_pair(abs(self._low - median), abs(self._high - median))
        near[(self._low < median) & (median < self._high)] = 0
        mad, middles = self._middle(near, far), (self._low + self._high) / 2
        for end in middles[[0, -1]]:
            self._want(self._low, self._high, end)
        reach = rules.robust * mad / NORMAL_QUARTILE
        outliers = (self._outside(-rules.absolute, rules.absolute),
                    math.nan if equal else self._outside(mean - rules.std * std, mean + rules.std * std),
                    math.nan if mad == 0 else self._outside(median - reach, median + reach))
        further = np.histogram(abs(middles - mean), [0, *(DISTANCES * std), math.inf], weights=self._counts)[0]
        eighths = torch.from_numpy(middles).float().view(torch.int32).bitwise_right_shift(20).bitwise_and(0xfff).numpy()
        density = np.bincount(eighths, self._counts).astype(int)
        bins = density.nonzero()[0]
        return dict(
            weights=self.size, **dict(zip(OUTLIERS, outliers)), largest=float(abs(middles[[0, -1]]).max()),
            mean=mean, std=0. if equal else std, median=median, mad=mad, kurtosis=math.nan if equal else kurtosis,
            hill=self._hill(rules.tail), further=[] if equal else further[::-1].cumsum()[::-1][1:].astype(int).tolist(),
            density=dict(zip(map(str, bins.tolist()), density[bins].tolist())))

    def _want(self, low: np.ndarray, high: np.ndarray, value: float) -> None:
        """Note the interval that a value lies in, and, if it is one, those beside: the value may move when others do."""
        if self._has_intervals and ((low < high) & (low <= value) & (value <= high)).any():
            slack = abs(value) / 2**7
            self._wanted |= (self._low < self._high) & (low <= value + slack) & (value - slack <= high)

    def _middle(self, low: np.ndarray, high: np.ndarray) -> float:
        """Median of what lies in intervals, of an even number the mean of both in the middle."""
        order = np.argsort(low + high, kind='stable')
        found = np.searchsorted(self._counts[order].cumsum(), [(self.size - 1) // 2, self.size // 2], 'right')
        both = [(low[place] + high[place]) / 2 for place in order[found]]
        for value in both:
            self._want(low, high, value)
        return float(sum(both)) / 2

    def _outside(self, lower: float, upper: float) -> int:
        for bound in (lower, upper):
            self._want(self._low, self._high, bound)
        return int(self._counts[(self._high < lower) | (self._low > upper)].sum())

    def _hill(self, tail: float) -> float:
        k = int(tail * self.size)
        if k < FEWEST_IN_TAIL or k >= self.size:
            return math.nan
        low, high = _sorted_pair(abs(self._low), abs(self._high))
        order = np.argsort(-(low + high), kind='stable')
        size, counts = ((low + high) / 2)[order], self._counts[order]
        up_to = counts.cumsum()
        threshold = size[np.searchsorted(up_to, k, 'right')]
        self._wanted |= (self._low < self._high) & (high >= threshold)
        if threshold == 0:
            return math.nan
        inside = np.clip(k - (up_to - counts), 0, counts)[:np.searchsorted(up_to, k) + 1]
        logs = float(inside @ np.log(size[:len(inside)] / threshold))
        return k / logs if logs > 0 else math.nan


def _sorted_pair(one: np.ndarray, other: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    return np.minimum(one, other), np.maximum(one, other)


def _powers(numbers: Tensor, shift: float) -> np.ndarray:
    """Sums of the first four powers of distances to a shift, ``(4, )``."""
    far = numbers.double().sub_(shift)
    square = far * far
    return np.array([float(far.sum()), float(square.sum()), float(square @ far), float(square @ square)])


def _moments(powers: np.ndarray, shift: float) -> Tuple[float, float, float]:
    """Mean, standard deviation and excess kurtosis, from mean powers of distances to a shift, ``(4, )``."""
    first, second, third, fourth = map(float, powers)
    variance = max(second - first**2, 0.)
    central = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    return shift + first, math.sqrt(variance), central / variance**2 - 3 if variance else math.nan
