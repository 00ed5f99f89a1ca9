"""The linear probe: what features say of labels, no more and no less."""
import numpy as np
import pytest

from lbbt_mm.analysis.linear_probe import linear_probe

CLASSES, EACH = 3, 20
LABELS = np.repeat(np.arange(CLASSES), EACH)


def features(distance, width=8, seed=0):
    rng = np.random.default_rng(seed)
    return distance * np.eye(CLASSES, width)[LABELS] + rng.standard_normal((len(LABELS), width))


def test_classes_that_are_apart_are_told_apart():
    found = linear_probe(features(20.), LABELS)
    assert found.accuracy == 1 and found[1:] == (pytest.approx(1 / 3), 60, 3, 5)


def test_features_that_say_nothing_are_near_chance():
    found = [linear_probe(features(0., seed=seed), LABELS).accuracy for seed in range(5)]
    assert 0.15 < np.mean(found) < 0.5


def test_the_size_of_features_does_not_count():
    plain, scaled = features(2.), features(2.) * 1e4 + 7e4
    assert linear_probe(plain, LABELS).accuracy == linear_probe(scaled, LABELS).accuracy


def test_a_group_is_not_divided():
    """Twins of another class each: alone they give nothing away, divided they would."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, 60)).repeat(2, axis=0)
    labels, groups = np.repeat(rng.permutation(np.repeat([0, 1], 20)), 2), np.repeat(np.arange(40), 2)
    assert linear_probe(points, labels).accuracy > 0.85
    assert linear_probe(points, labels, groups).accuracy < 0.75


def test_the_majority_is_what_features_are_compared_with():
    labels = np.array([0] * 30 + [1] * 10)
    assert linear_probe(features(1.)[:40], labels).majority == 0.75


def test_a_small_class_lowers_the_number_of_folds():
    labels = np.array([0] * 10 + [1] * 3)
    assert linear_probe(features(1.)[:13], labels).folds == 3


@pytest.mark.parametrize('labels, message', [
    ([0] * 6, '6 samples of 1 class'),
    ([0, 0, 0, 1, 1, 2], 'class .*2.* has one sample'),
    ([0, 1], '2 labels'),
])
def test_what_cannot_be_probed(labels, message):
    with pytest.raises(ValueError, match=message):
        linear_probe(np.ones((6, 2)), np.array(labels))


def test_features_that_are_not_finite():
    with pytest.raises(ValueError, match='not finite'):
        linear_probe(np.full((60, 2), np.nan), LABELS)
