"""What chance gives: the same features are as far from it as can be, independent ones are not; the formulas written out."""
import math

import numpy as np
import pytest
import torch

from lbbt_mm.analysis.mutual_knn import LayerPairs, nearest_neighbours, prepare
from lbbt_mm.analysis.permutation import calibrate

N, K = 40, 4


def layers(count, seed, width=8):
    rng = torch.Generator().manual_seed(seed)
    return [nearest_neighbours(prepare(torch.randn(N, width, generator=rng)), K) for _ in range(count)]


def calibrated(first, second, permutations=99, seed=0):
    pairs = LayerPairs(first, second)
    return pairs, calibrate(pairs.scores, pairs.samples, permutations, seed)


def test_the_same_features_are_as_far_from_chance_as_can_be():
    same = layers(1, 0)
    _, found = calibrated([*layers(2, 1), *same], [*layers(1, 2), *same])
    assert found.best == (2, 1) and found.scores[2, 1] == 1
    assert found.p_values[2, 1] == 1 / 100 == found.p_values.min()
    assert found.calibrated()[2, 1] == 1 and found.threshold() < 0.3


def test_independent_features_are_at_chance():
    """p is below 0.05 about as often as it says, although the best of 24 pairs is taken; each pair's own p would not be."""
    p_values, own, highest = [], [], []
    for seed in range(40):
        pairs, found = calibrated(layers(6, 2 * seed + 100), layers(4, 2 * seed + 101), seed=seed)
        p_values.append(found.p_values[found.best].item())
        best = found.scores.max()
        own.append((best - found.null_mean[found.best]) / found.null_std[found.best])
        highest.append(found.calibrated().max().item())
        assert found.null_mean.mean().item() == pytest.approx(pairs.chance, abs=0.01)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.15 and 0.3 < np.mean(p_values) < 0.7
    assert np.mean(highest) < 0.01
    assert np.mean(np.array(own) > 1.645) > 0.5, 'a pair by itself would be called significant more often than not'


def test_numbers_are_the_formulas():
    pairs, found = calibrated(layers(3, 0), layers(2, 1), permutations=30, seed=5)
    rng = np.random.default_rng(5)
    drawn = torch.stack([pairs.scores(rng.permutation(N)) for _ in range(30)])
    maxima = drawn.flatten(1).max(1).values
    torch.testing.assert_close(found.maxima, maxima)
    torch.testing.assert_close(found.null_mean, drawn.mean(0))
    torch.testing.assert_close(found.null_std, drawn.std(0, unbiased=False))
    for place in ((0, 0), found.best):
        higher = sum(float(value) >= float(found.scores[place]) - 1e-12 for value in maxima)
        assert found.p_values[place].item() == (1 + higher) / 31
    together = sorted([*maxima.tolist(), found.scores.max().item()])
    threshold = together[math.ceil(0.9 * 31) - 1]
    assert found.threshold(0.1) == threshold
    expected = ((found.scores - threshold) / (1 - threshold)).clamp(0, 1)
    torch.testing.assert_close(found.calibrated(0.1), expected)


def test_the_same_seed_gives_the_same_permutations_and_another_others():
    first, second = layers(2, 0), layers(2, 1)
    one, again, other = (calibrated(first, second, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(one.maxima, again.maxima) and not torch.equal(one.maxima, other.maxima)


def test_progress_is_over_the_permutations():
    seen = []

    def track(numbers):
        for number in numbers:
            seen.append(number)
            yield number

    pairs = LayerPairs(layers(1, 0), layers(1, 1))
    calibrate(pairs.scores, N, 7, track=track)
    assert seen == list(range(7))
