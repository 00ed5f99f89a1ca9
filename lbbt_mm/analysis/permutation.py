"""What chance gives of a score that is the highest of many: samples of one side are permuted, and the highest taken again.

Gröger, Wen and Brbić, "Revisiting the Platonic Representation Hypothesis: An Aristotelian View" (arXiv 2602.14486): the
highest of many pairs of layers is high by chance too, so it is compared with the highest of each permutation, in which the
same permutation holds for all layers. Phipson and Smyth (2010): p counts the pairing that was observed among the others, so
it is never 0.
"""
import math
from typing import Callable, Iterable, List, NamedTuple, Tuple

import numpy as np
import torch
from torch import Tensor

#: Sums of weights in another order differ by rounding; equal ones count as at least as high.
_ROUNDING = 1e-9


class Calibrated(NamedTuple):
    """Scores of all pairs of layers, and what chance gives.

    Attributes:
        scores: ``(A, B)``, float64.
        maxima: The highest score of each permutation, ``(K, )``.
        null_mean: The mean over the permutations of each pair's score, ``(A, B)``.
        null_std: Their standard deviation, with K in the denominator, ``(A, B)``.
    """
    scores: Tensor
    maxima: Tensor
    null_mean: Tensor
    null_std: Tensor

    @property
    def best(self) -> Tuple[int, int]:
        """The pair with the highest score, the first of equal ones."""
        first, second = divmod(int(self.scores.argmax()), self.scores.shape[1])
        return first, second

    @property
    def p_values(self) -> Tensor:
        """Of each pair, ``(1 + number of maxima at least as high) / (1 + K)``, ``(A, B)``.

        That of the best is its own; those of the others hold for all pairs together (Westfall and Young's single step).
        """
        higher = (self.maxima >= self.scores[..., None] - _ROUNDING).sum(-1).double()
        return (1 + higher) / (1 + len(self.maxima))

    def threshold(self, alpha: float = 0.05) -> float:
        """The quantile 1 - alpha of the maxima and the highest score together, as in the paper's package.

        Args:
            alpha: Share of permutations that reach more. Defaults to 0.05.
        """
        together = torch.cat([self.maxima, self.scores.max()[None]]).sort().values
        return together[max(0, math.ceil((1 - alpha) * len(together)) - 1)].item()

    def calibrated(self, alpha: float = 0.05) -> Tensor:
        """Scores from the threshold of chance (0, and below it) to the highest that there can be (1), ``(A, B)``.

        Args:
            alpha: See :meth:`threshold`. Defaults to 0.05.
        """
        threshold = self.threshold(alpha)
        return ((self.scores - threshold) / max(1 - threshold, 1e-12)).clamp(0, 1)


def calibrate(scores: Callable[..., Tensor], samples: int, permutations: int = 1000, seed: int = 0,
              track: Callable[[Iterable[int]], Iterable[int]] = lambda numbers: numbers) -> Calibrated:
    """Compare scores with those of permuted samples.

    Args:
        scores: Gives the scores ``(A, B)``, without arguments or for an order of the samples of one side ``(N, )``.
        samples: How many samples, N.
        permutations: How many, K. Defaults to 1000.
        seed: Of the permutations. Defaults to 0.
        track: Shows progress. Defaults to none.

    Returns:
        Calibrated: The scores, and what chance gives.
    """
    rng, observed = np.random.default_rng(seed), scores()
    maxima: List[Tensor] = []
    total, squares = torch.zeros_like(observed), torch.zeros_like(observed)
    for _ in track(range(permutations)):
        drawn = scores(rng.permutation(samples))
        maxima.append(drawn.max())
        total, squares = total + drawn, squares + drawn**2
    mean = total / permutations
    return Calibrated(observed, torch.stack(maxima), mean, (squares / permutations - mean**2).clamp(min=0).sqrt())
