"""The interval of a mean, by hand and as scipy has it."""
import math

import numpy as np
import pytest
from scipy import stats

from lbbt_mm.analysis.mean_interval import mean_interval


def test_by_hand():
    """Mean 3, standard deviation 1, standard error 1/sqrt(3), t(2, 97.5%) = 4.3027."""
    assert mean_interval([3, 2, 4]) == pytest.approx((3 - 4.302653 / 3**0.5, 3 + 4.302653 / 3**0.5), rel=1e-6)


def test_as_scipy_has_it_whatever_is_missing():
    values = np.random.default_rng(0).normal(size=7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean_interval([math.nan, *values, math.nan], 0.9) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize('values', [[], [1.], [1., math.nan]])
def test_one_number_has_no_interval(values):
    assert all(map(math.isnan, mean_interval(values)))
