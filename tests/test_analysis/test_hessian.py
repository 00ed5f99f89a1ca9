"""Measures of a spectrum, on spectra for which they are known."""
import math

import pytest
import torch

from lbbt_mm.analysis.hessian import (alike, decay_rate, kurtosis, largest, leading, mean_and_error, negative_energy,
                                      negative_ratio, participation_ratio, spectral_gap)


def of(measure, *values, **options):
    values = torch.tensor(values)
    return measure(values, alike(values), **options)


def test_the_decay_rate_of_a_power_law_is_its_exponent():
    power_law = 7 * torch.arange(1., 13)**-1.75
    assert decay_rate(power_law[torch.randperm(12)], 12) == pytest.approx(-1.75, rel=1e-5)
    bent = torch.cat([power_law[:6], power_law[6:] / 100, torch.tensor([0., -3.])])
    assert decay_rate(bent, 6) == pytest.approx(-1.75, rel=1e-5)
    assert decay_rate(bent, 12) < -3
    assert math.isnan(decay_rate(bent, 13))  # 12 are above 0
    assert math.isnan(decay_rate(torch.tensor([3., 1., -1., -2.]), 4))


def test_the_gap_is_between_the_two_largest():
    assert spectral_gap(torch.tensor([-90., 3., 10., 4.])) == 6
    assert spectral_gap(torch.tensor([3., 3., 1.])) == 0
    assert math.isnan(spectral_gap(torch.tensor([3.])))


def test_kurtosis_is_in_excess_of_a_normal_distribution_s():
    assert of(kurtosis, -1., 1.) == pytest.approx(-2)
    assert of(kurtosis, *torch.linspace(0, 1, 10001).tolist()) == pytest.approx(-1.2, abs=1e-3)
    assert abs(of(kurtosis, *torch.randn(200000).tolist())) < 0.1
    assert of(kurtosis, *[0.] * 19, 5.) == pytest.approx(20 - 5 + 1 / 19)  # the most that 20 values can have
    assert math.isnan(of(kurtosis, 2., 2.))


def test_weights_count_as_that_many_eigenvalues():
    few, many = torch.tensor([1., 4.]), torch.tensor([1., 1., 1., 4.])
    for measure in (kurtosis, participation_ratio, negative_ratio, negative_energy):
        assert measure(few, torch.tensor([0.75, 0.25])) == pytest.approx(measure(many, alike(many)))


def test_participation_is_the_share_of_equally_large_eigenvalues():
    assert of(participation_ratio, 3., -3., 3.) == pytest.approx(1)
    assert of(participation_ratio, 3., 3., *[0.] * 6) == pytest.approx(2 / 8)
    assert math.isnan(of(participation_ratio, 0., 0.))


def test_negative_eigenvalues():
    assert of(negative_ratio, -1., -1e-6, 0., 3.) == pytest.approx(0.5)
    assert of(negative_ratio, -1., -1e-6, 0., 3., zero=1e-3) == pytest.approx(0.25)
    assert of(negative_energy, -1., -1e-6, 0., 3.) == pytest.approx(0.25)
    assert math.isnan(of(negative_energy, 0., 0.))


def test_the_leading_ones_are_largest_in_magnitude():
    values = torch.tensor([-9., 1., 4., -2.])
    assert values[leading(values, 3)].tolist() == [-9., 4., -2.]
    assert values[largest(values, 3)].tolist() == [4., 1., -2.]
    assert values[largest(values, 3, above=0)].tolist() == [4., 1.]


def test_the_error_of_a_mean():
    assert mean_and_error([1., 3.]) == (2., pytest.approx(1.))
    assert math.isnan(mean_and_error([1.])[1])
