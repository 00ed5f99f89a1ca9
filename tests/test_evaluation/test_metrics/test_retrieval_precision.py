"""RetrievalPrecision: the share of the first k that is relevant, the paper's Pass@k."""
import numpy as np
import pytest
import torch
from mmengine.registry import METRICS
from mmpretrain.evaluation import RetrievalRecall

from lbbt_mm.evaluation import RetrievalPrecision
from tests.closeness import rounding
from tests.tiny_retrieval import draw, evaluate


def test_it_is_found_by_its_scoped_name():
    assert isinstance(METRICS.build(dict(type='lbbt_mm.RetrievalPrecision', topk=(1, 5))), RetrievalPrecision)


def test_it_is_the_share_of_the_first_k_that_is_relevant():
    scores = np.array([0.9, 0.1, 0.8, 0.3, 0.5], dtype=np.float32)  # order 0, 2, 4, 3, 1
    result = evaluate(RetrievalPrecision((1, 3, 5)), [(scores, [1, 2, 4]), (scores, [0])])
    assert result == pytest.approx({
        'retrieval/Precision@1': 50, 'retrieval/Precision@3': 100 * (2 / 3 + 1 / 3) / 2,
        'retrieval/Precision@5': 100 * (3 / 5 + 1 / 5) / 2})


def test_it_equals_a_count_one_by_one():
    scores, gains = draw(30, 20, 1)
    values = RetrievalPrecision((1, 5, 20)).at_cutoffs(scores, gains)
    for row, score, gain in zip(values, scores, gains):
        order = sorted(range(20), key=lambda index: -score[index].item())
        expected = [sum(gain[index].item() for index in order[:k]) / k for k in (1, 5, 20)]
        assert row.tolist() == pytest.approx(expected, rel=rounding(terms=20))


def test_at_one_it_equals_mmpretrain_s_recall():
    scores, gains = draw(40, 10, 1)
    ours = RetrievalPrecision(1).at_cutoffs(scores, gains).mean().item() * 100
    assert ours == pytest.approx(RetrievalRecall.calculate(scores, gains, topk=1)[0].item(), rel=rounding(terms=40))


def test_a_small_gallery_is_divided_by_its_size():
    assert RetrievalPrecision(5).at_cutoffs(torch.rand(1, 2), torch.ones(1, 2)).item() == 1
