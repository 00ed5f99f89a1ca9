"""RetrievalNDCG: equal to scikit-learn and to a computation by hand."""
import math

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS
from sklearn.metrics import ndcg_score

from lbbt_mm.evaluation import RetrievalNDCG
from tests.closeness import assert_close, rounding
from tests.tiny_retrieval import draw, evaluate


def test_it_is_found_by_its_scoped_name():
    assert isinstance(METRICS.build(dict(type='lbbt_mm.RetrievalNDCG', topk=5)), RetrievalNDCG)


@pytest.mark.parametrize('most', [1, 3], ids=['binary', 'graded'])
def test_it_equals_scikit_learn_s_ndcg_score(most):
    scores, gains = draw(50, 30, most)
    cutoffs = (1, 2, 5, 10, 30)
    ours = RetrievalNDCG(cutoffs).at_cutoffs(scores, gains).mean(0)
    for k, value in zip(cutoffs, ours):
        assert value.item() == pytest.approx(ndcg_score(gains.numpy(), scores.numpy(), k=k), rel=rounding(terms=30))


def test_it_equals_the_definition_for_relevant_images_given_as_indices():
    scores = np.array([0.9, 0.1, 0.8, 0.3, 0.5], dtype=np.float32)  # order 0, 2, 4, 3, 1
    result = evaluate(RetrievalNDCG((1, 3, 5)), [(scores, [1, 2, 4]), (scores, [0])])
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    at_3 = (1 / math.log2(3) + 1 / math.log2(4)) / ideal
    at_5 = (1 / math.log2(3) + 1 / math.log2(4) + 1 / math.log2(6)) / ideal
    assert result == pytest.approx({
        'retrieval/NDCG@1': 100 * (0 + 1) / 2, 'retrieval/NDCG@3': 100 * (at_3 + 1) / 2,
        'retrieval/NDCG@5': 100 * (at_5 + 1) / 2}, rel=rounding(terms=5))


def test_with_first_hit_further_relevant_images_neither_help_nor_are_asked_for():
    scores = np.array([0.9, 0.1, 0.8, 0.3, 0.5], dtype=np.float32)
    result = evaluate(RetrievalNDCG((1, 2, 5), first_hit=True), [(scores, [1, 2, 4]), (scores, [0, 1, 2, 3, 4])])
    assert result == pytest.approx({
        'retrieval/FirstHitNDCG@1': 50, 'retrieval/FirstHitNDCG@2': 100 * (1 / math.log2(3) + 1) / 2,
        'retrieval/FirstHitNDCG@5': 100 * (1 / math.log2(3) + 1) / 2}, rel=rounding(terms=5))


def test_both_readings_agree_where_a_query_has_one_relevant_image():
    scores, _ = draw(20, 12, 1)
    gains = torch.eye(12)[torch.randint(12, (20, ))]
    plain, first = (RetrievalNDCG((1, 5, 12), first_hit=first_hit).at_cutoffs(scores, gains) for first_hit in (False, True))
    assert_close(first, plain, terms=12)


def test_a_query_without_relevant_images_scores_nothing():
    for first_hit in (False, True):
        assert RetrievalNDCG(3, first_hit=first_hit).at_cutoffs(torch.rand(2, 6), torch.zeros(2, 6)).tolist() == [[0.], [0.]]


def test_a_cut_off_beyond_the_gallery_takes_all_of_it():
    scores, gains = draw(4, 6, 1)
    metric = RetrievalNDCG((6, 100))
    values = metric.at_cutoffs(scores, gains)
    assert torch.equal(values[:, 0], values[:, 1])


def test_half_precision_similarities_are_taken():
    result = evaluate(RetrievalNDCG(1), [(torch.tensor([0.1, 0.9], dtype=torch.bfloat16), [1])])
    assert result == {'retrieval/NDCG@1': 100.}


@pytest.mark.parametrize('topk', [0, -1, (), (5, 0), 2.5, (1, '5'), True])
def test_a_cut_off_has_to_be_a_whole_number_of_at_least_one(topk):
    with pytest.raises(ValueError, match='topk=.*expected a whole number, 1 or more'):
        RetrievalNDCG(topk)


def test_relevant_images_beyond_the_gallery_are_an_error():
    with pytest.raises(ValueError, match='relevant image 7, but the gallery has 3 images'):
        evaluate(RetrievalNDCG(1), [(torch.rand(3), [0, 7])])
