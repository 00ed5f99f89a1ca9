"""Separability against values that are known: classes that are apart, classes that are noise, formulas written out."""
from collections import Counter

import numpy as np
import pytest

from lbbt_mm.analysis.separability import (MEASURES, check_points, cluster, embed, measure, purity, spread_of,
                                           standardise)

CLASSES, EACH = 3, 30
LABELS = np.repeat(np.arange(CLASSES), EACH)


def groups(distance=20., features=6, seed=0):
    """Points of classes whose centres are so far apart, in units of their standard deviation."""
    rng = np.random.default_rng(seed)
    centres = distance * np.eye(CLASSES, features)
    return centres[LABELS] + rng.standard_normal((len(LABELS), features))


def measured(points, labels=LABELS, **options):
    return measure(points, labels, cluster(points, CLASSES), **options)


def test_purity_is_the_share_of_the_commonest_labels():
    clusters, labels = np.array([0, 0, 0, 1, 1, 2]), np.array([5, 5, 7, 5, 5, 7])  # per label it would be 3 of 6
    expected = sum(Counter(labels[clusters == one]).most_common(1)[0][1] for one in (0, 1, 2)) / 6
    assert purity(clusters, labels) == pytest.approx(expected) == pytest.approx(5 / 6)


def test_classes_that_are_apart_are_found():
    found = measured(groups())
    assert [found[name] for name in ('purity', 'nmi', 'knn')] == pytest.approx([1, 1, 1])
    assert found['silhouette'] > 0.7 and found['silhouette'] == pytest.approx(found['silhouette_of_clusters'])
    assert found['purity_permuted'] < 0.5 and found['nmi_permuted'] < 0.1 and abs(found['silhouette_permuted']) < 0.1


def test_labels_that_say_nothing_are_at_the_level_of_permuted_ones():
    """The clusters are as much apart as ever: what a picture of their own colours cannot tell."""
    labels = np.random.default_rng(1).permutation(LABELS)
    found = measured(groups(), labels, permutations=50)
    assert found['silhouette_of_clusters'] > 0.7
    for name in MEASURES:
        assert abs(found[name] - found[f'{name}_permuted']) < 3 * found[f'{name}_permuted_std'] + 1e-9, name


def test_silhouette_is_the_formula_over_the_labels():
    points, values = groups(2.), []
    for index, point in enumerate(points):
        distances = np.linalg.norm(points - point, axis=1)
        within = distances[(LABELS == LABELS[index]) & (np.arange(len(points)) != index)].mean()
        other = min(distances[LABELS == label].mean() for label in set(LABELS) - {LABELS[index]})
        values.append((other - within) / max(within, other))
    assert measured(points)['silhouette'] == pytest.approx(np.mean(values))


def test_neighbours_vote_without_the_sample_itself():
    points, votes = groups(3.), []
    for index, point in enumerate(points):
        order = [other for other in np.argsort(np.linalg.norm(points - point, axis=1), kind='stable') if other != index]
        votes.append(np.bincount(LABELS[order[:5]], minlength=CLASSES).argmax() == LABELS[index])
    found = measured(points, neighbours=5)['knn']
    assert found == pytest.approx(np.mean(votes)) and 0.5 < found < 1


def test_nmi_is_mutual_information_over_the_mean_entropy():
    clusters = np.random.default_rng(0).integers(0, 4, len(LABELS))
    joint = np.array([[np.mean((LABELS == label) & (clusters == one)) for one in range(4)] for label in range(CLASSES)])
    rows, columns = joint.sum(1), joint.sum(0)
    information = sum(joint[i, j] * np.log(joint[i, j] / rows[i] / columns[j]) for i, j in np.argwhere(joint))
    entropy = -sum(p * np.log(p) for p in (*rows, *columns))
    assert measure(groups(), LABELS, clusters)['nmi'] == pytest.approx(information / (entropy / 2))


def test_standardised_features_have_mean_0_and_variance_1_and_constant_ones_are_left_out():
    features = np.concatenate([groups() * [1, 5, 0.1, 1e3, 1, 1], np.full((len(LABELS), 1), 7.)], axis=1)
    features[:, 6] += 1e-7 * np.random.default_rng(0).standard_normal(len(LABELS))  # rounding
    found = standardise(features)
    assert found.shape == (len(LABELS), 6)
    assert np.allclose(found.mean(0), 0) and np.allclose(found.std(0), 1)


def test_features_that_do_not_vary_or_are_not_finite_are_refused():
    with pytest.raises(ValueError, match='the same features for all 8 samples; expected features that vary'):
        standardise(np.ones((8, 3), np.float32))
    with pytest.raises(ValueError, match='not finite; expected finite ones, so this training has diverged'):
        standardise(np.array([[1., np.nan], [2., 3.]]))


@pytest.mark.parametrize('features, expected', [
    (np.ones((4, 3)), 0.), (np.zeros((4, 3)), 0.), (np.array([[1.], [-1.]]), 1.), (np.array([[3.], [5.]]), 1 / 17**0.5)])
def test_spread_is_the_share_of_features_that_differs(features, expected):
    assert spread_of(features) == pytest.approx(expected)


@pytest.mark.parametrize('samples, labels, options, message', [
    (20, np.zeros(20), {}, '20 samples of 1 class; expected two classes at least'),
    (12, np.arange(12), {}, '12 samples and 12 clusters, one for each class; expected more samples than that'),
    (12, np.arange(12) % 3, dict(perplexity=30.), '12 samples and 30 for the perplexity of t-SNE'),
    (12, np.arange(12) % 3, dict(neighbours=12), '12 samples and 12 nearest neighbours')])
def test_too_few_samples_or_classes_are_refused(samples, labels, options, message):
    with pytest.raises(ValueError, match=message):
        check_points(np.zeros((samples, 2)), labels, **{**dict(perplexity=5., neighbours=5), **options})


def test_the_plane_keeps_classes_apart_and_is_the_same_for_a_seed():
    plane = embed(groups(), perplexity=10., seed=3)
    assert plane.shape == (len(LABELS), 2) and measured(plane)['nmi'] == pytest.approx(1)
    assert np.array_equal(plane, embed(groups(), perplexity=10., seed=3))
    assert measured(plane, seed=1) == measured(plane, seed=1)


def test_one_feature_can_be_embedded():
    assert np.isfinite(embed(groups()[:, :1], perplexity=10.)).all()


def test_clusters_that_are_one_have_no_silhouette():
    assert np.isnan(measure(groups(), LABELS, np.zeros(len(LABELS), int))['silhouette_of_clusters'])
