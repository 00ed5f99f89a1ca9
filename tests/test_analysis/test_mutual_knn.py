"""Mutual nearest neighbours against the definition written out, and against random breaking of ties."""
import itertools
import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbbt_mm.analysis.mutual_knn import (LayerPairs, Neighbours, average, check_samples, clamp_level, nearest_neighbours,
                                         prepare)

N, K = 30, 4


def features(seed=0, samples=N, width=8):
    return torch.randn(samples, width, generator=torch.Generator().manual_seed(seed))


def near(values, k=K, **options):
    return nearest_neighbours(prepare(values, **options), k)


def score(first, second, order=None):
    return LayerPairs([first], [second]).scores(order).item()


def written_out(first, second, k=K):
    """Eq. 4, sample by sample."""
    shares = []
    for index in range(len(first)):
        found = []
        for values in (first, second):
            unit = values / values.norm(dim=1, keepdim=True)
            similar = {other: float(unit[index] @ unit[other]) for other in range(len(values)) if other != index}
            found.append(set(sorted(similar, key=similar.get)[-k:]))
        shares.append(len(found[0] & found[1]) / k)
    return sum(shares) / len(shares)


def test_scores_are_the_definition_s():
    first = [features(seed) for seed in (0, 1)]
    second = [values[:, :5] + 0.3 * features(9, width=5) for values in first] + [features(2, width=3)]
    pairs = LayerPairs(list(map(near, first)), list(map(near, second)))
    expected = [[written_out(one, other) for other in second] for one in first]
    torch.testing.assert_close(pairs.scores(), torch.tensor(expected, dtype=torch.float64))
    assert pairs.scores()[0, 0] > 2 * pairs.chance, 'the test tells something from nothing'


def test_the_same_features_turned_and_stretched_are_the_same():
    turn = torch.linalg.qr(features(5, 8)).Q
    assert score(near(features()), near(features() @ turn * torch.rand(N, 1).add(0.1))) == 1


def test_a_permutation_is_that_of_the_samples():
    first, second, order = features(0), features(1), np.random.default_rng(0).permutation(N)
    assert score(near(first), near(second), order) == pytest.approx(written_out(first, second[order]))
    assert score(near(first), near(first), order) < 0.5
    assert score(near(first), near(first[np.argsort(order)]), order) == 1


def values_with_twins():
    """Six samples: three are equal, two others are, one is alone."""
    return torch.tensor([[1., 0], [1, 0], [1, 0], [0, 1], [0, 1], [1, 1]])


@pytest.mark.parametrize('second', [values_with_twins(), features(3, 6)], ids=['twins', 'alone'])
def test_the_mean_over_all_permutations_is_chance(second):
    """Also where samples share places."""
    pairs = LayerPairs([near(values_with_twins(), 3)], [near(second, 3)])
    drawn = [pairs.scores(np.array(order)).item() for order in itertools.permutations(range(6))]
    assert np.mean(drawn) == pytest.approx(pairs.chance) == pytest.approx(3 / 5)


def test_samples_that_tie_for_the_last_places_share_them():
    found = near(values_with_twins(), 3)
    expected = [[0, 1, 1, 0, 0, 1], [1, 0, 1, 0, 0, 1], [1, 1, 0, 0, 0, 1],
                [1 / 3, 1 / 3, 1 / 3, 0, 1, 1], [1 / 3, 1 / 3, 1 / 3, 1, 0, 1], [.6, .6, .6, .6, .6, 0]]
    assert found.matrix().toarray() == pytest.approx(np.array(expected))
    assert (found.tied, found.twins) == (3, 0)
    assert (near(values_with_twins(), 2).twins, near(values_with_twins(), 1).twins) == (3, 5)
    assert near(features()).tied == near(features()).twins == 0


def test_sharing_is_the_mean_of_breaking_ties_at_random():
    rng, drawn, second = np.random.default_rng(0), [], features(3, 6)
    unit = prepare(values_with_twins())
    others = near(second, 3).matrix().toarray()
    for _ in range(4000):
        similar = (unit @ unit.T).numpy() + rng.uniform(0, 1e-6, (6, 6))
        np.fill_diagonal(similar, -np.inf)
        nearest = np.argsort(-similar, axis=1)[:, :3]
        drawn.append(np.take_along_axis(others, nearest, axis=1).sum() / (6 * 3))
    expected = score(near(values_with_twins(), 3), near(second, 3))
    assert np.mean(drawn) == pytest.approx(expected, abs=4 * np.std(drawn) / 4000**0.5)
    assert np.std(drawn) > 0.01, 'which one is broken how makes a difference'


def test_many_rows_are_done_in_pieces(monkeypatch):
    whole = near(features())
    monkeypatch.setattr('lbbt_mm.analysis.mutual_knn._ROWS', 7)
    assert (near(features()).matrix() != whole.matrix()).nnz == 0


def test_all_twins_are_found_among_many_samples():
    """Whatever a product of matrices rounds: the same rows have the same neighbours, and are each other's."""
    groups = torch.randint(0, 40, (300, ))
    found = near(features(0, 40, 64)[groups], 10)
    matrix = found.matrix().toarray()
    assert matrix.sum(1) == pytest.approx(np.full(300, 10.)) and (matrix.diagonal() == 0).all()
    counts = groups.bincount()
    for index in range(300):
        twins = (groups == groups[index]).numpy() & (np.arange(300) != index)
        assert matrix[index, twins] == pytest.approx(min(1, 10 / max(1, int(counts[groups[index]]) - 1)))


def test_clamping_is_that_of_the_public_code():
    layers = [features(0) * 3, features(1, width=5)]
    together = torch.cat(layers, dim=1)
    assert clamp_level(layers, 0.9) == pytest.approx(torch.quantile(together.abs(), 0.9, dim=1).mean().item())
    ordered = together.abs().flatten().sort().values
    assert clamp_level(layers, 0.9, 'tensor') == ordered[int(0.9 * ordered.numel())].item()
    for rule, quantile in (('none', 0.9), ('samples', 1.), ('tensor', 1.)):
        assert clamp_level(layers, quantile, rule) == float('inf')
    clamped = prepare(layers[0], 0.5, unit_length=False)
    assert torch.equal(clamped, layers[0].double().clamp(-0.5, 0.5)) and clamped.abs().max() == 0.5
    torch.testing.assert_close(prepare(layers[0], 0.5), F.normalize(clamped, dim=1))
    with pytest.raises(ValueError, match="clamp 'all': expected one of samples, tensor, none"):
        clamp_level(layers, 0.9, 'all')


def test_lengths_count_where_they_are_kept():
    values = features()
    values[3] *= 100
    assert written_out(values, features(1)) == score(near(values), near(features(1)))
    long = near(values, unit_length=False).matrix().toarray()
    assert long[:, 3].sum() > near(values).matrix().toarray()[:, 3].sum() + 5


def test_neighbours_survive_a_json_file():
    found = near(values_with_twins(), 3)
    again = Neighbours.from_plain(json.loads(json.dumps(found.plain())))
    assert (again.matrix() != found.matrix()).nnz == 0 and again.plain() == found.plain()


def test_the_mean_of_each_group():
    values, groups = features(0, 5), torch.tensor([1, 0, 1, 1, 2])
    expected = torch.stack([values[1], values[[0, 2, 3]].mean(0), values[4]]).double()
    torch.testing.assert_close(average(values, groups), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('samples', [1, 4])
def test_too_few_samples(samples):
    with pytest.raises(ValueError, match=f'{samples} samples, and 4 nearest neighbours of each; expected 5 or more'):
        near(features(0, samples))
    check_samples(5, 4)
    assert near(features(0, 5)).matrix().toarray().sum() == 20


def test_models_of_different_samples():
    with pytest.raises(ValueError, match='29 and 30 samples in two models; expected as many in both'):
        LayerPairs([near(features())], [near(features(1, 29))])
    with pytest.raises(ValueError, match='3 and 4 neighbours in two models'):
        LayerPairs([near(features())], [near(features(), 3)])


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_features_that_are_no_numbers(value):
    values = features()
    values[2, 1] = value
    with pytest.raises(ValueError, match='features that are not finite'):
        nearest_neighbours(values.double(), K)
