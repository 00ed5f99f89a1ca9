"""Confidence interval of a mean."""
import math
from typing import Iterable, Tuple

import numpy as np


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> Tuple[float, float]:
    """Student's t interval of the mean of numbers that are drawn alike.

    Args:
        values: The numbers; NaN among them do not count.
        confidence: Probability of the interval. Defaults to 0.95.

    Returns:
        tuple: Its ends; NaN for fewer than two numbers.
    """
    from scipy import stats  # which takes seconds
    numbers = np.array([value for value in values if value == value], dtype=float)
    if len(numbers) < 2:
        return math.nan, math.nan
    half = stats.t.ppf((1 + confidence) / 2, len(numbers) - 1) * numbers.std(ddof=1) / math.sqrt(len(numbers))
    return float(numbers.mean() - half), float(numbers.mean() + half)
