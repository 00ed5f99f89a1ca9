"""Relative representations against the recipe written out, and on pairs whose two sides are turned against each other."""
import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lbbt_mm.analysis import relative_representations as module
from lbbt_mm.analysis.relative_representations import nearest_class, relative_representations, relative_similarities


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def written_out(features, anchors, non_zero, power):
    """The recipe of the paper, a sample at a time."""
    rows = []
    for sample in features:
        similar = np.array([float(F.cosine_similarity(sample.double(), anchor.double(), dim=0)) for anchor in anchors])
        kept = np.zeros(len(anchors))
        largest = np.argsort(-similar)[:non_zero]
        kept[largest] = np.maximum(similar[largest], 0)**power
        rows.append(kept / np.linalg.norm(kept))
    return np.array(rows)


@pytest.mark.parametrize('at_once', [1 << 25, 40])
def test_the_largest_similarities_are_kept_and_raised_to_a_power(at_once, monkeypatch):
    monkeypatch.setattr(module, '_AT_ONCE', at_once)
    features, anchors = random(7, 5), random(20, 5, seed=1)
    found = relative_representations(features, anchors, 6, 8)
    np.testing.assert_allclose(found.toarray(), written_out(features, anchors, 6, 8), rtol=1e-9, atol=1e-12)
    assert (np.diff(found.indptr) <= 6).all()


def test_a_negative_similarity_is_none():
    """An even power would make the least similar anchor as near as the most similar one."""
    anchors = torch.tensor([[1., 0.], [-1., 0.], [0., 1.]])
    found = relative_representations(torch.tensor([[1., 0.2]]), anchors, 3, 2).toarray()
    assert found[0, 1] == 0 and found[0, 0] > found[0, 2] > 0
    assert relative_representations(torch.tensor([[0., -1.]]), anchors, 3, 2).nnz == 0


def test_small_similarities_are_not_rounded_away():
    features, anchors = torch.tensor([[1., 1e-30]]), torch.tensor([[1e-3, 1.], [2e-3, 1.]])
    found = relative_representations(features.double(), anchors.double(), 2, 200.).toarray()
    assert found[0, 1] == pytest.approx(1)


def test_fewer_anchors_than_are_kept():
    assert relative_representations(random(2, 4), random(3, 4, seed=1)).shape == (2, 3)


def test_two_sides_that_are_rotated_are_matched_through_pairs():
    """Features of both sides say the same in other coordinates, which nothing but the pairs relates."""
    things = random(340, 24)
    turned = things @ torch.linalg.qr(random(24, 24, seed=1))[0]
    known, asked = slice(0, 300), slice(300, 340)
    found = relative_similarities(things[asked], turned[asked], things[known], turned[known], 50, 8)
    assert found.shape == (40, 40) and 0 <= found.min() and found.max() <= 1 + 1e-9
    assert torch.equal(found.argmax(1), torch.arange(40))
    permuted = relative_similarities(things[asked], turned[asked], things[known], turned[known].flip(0), 50, 8)
    assert (permuted.argmax(1) == torch.arange(40)).float().mean() < 0.2


def test_the_class_is_that_of_the_nearest_prompt():
    similar = torch.tensor([[0.1, 0.9, 0.2, 0.3], [0.5, 0.1, 0.2, 0.6]])
    assert nearest_class(similar, [0, 0, 1, 1]).tolist() == [0, 1]


@pytest.mark.parametrize('features, anchors, options, message', [
    (random(2, 4), random(3, 5), {}, r'features \(2, 4\), anchors \(3, 5\)'),
    (random(2, 4), random(0, 4), {}, 'with an anchor at least'),
    (random(2, 4), random(3, 4), dict(non_zero=0), 'non_zero=0'),
    (random(2, 4), random(3, 4), dict(power=0), 'power=0'),
    (random(2, 4), torch.full((3, 4), torch.nan), {}, 'not finite'),
])
def test_what_cannot_be_represented(features, anchors, options, message):
    with pytest.raises(ValueError, match=message):
        relative_representations(features, anchors, **options)


def test_pairs_of_which_a_side_is_missing():
    with pytest.raises(ValueError, match='5 images and 4 texts of known pairs'):
        relative_similarities(random(2, 4), random(2, 3), random(5, 4), random(4, 3))
