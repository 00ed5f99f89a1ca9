"""RetrievalMetric: what goes in, how queries are averaged, and what is refused."""
import pytest
import torch

from lbbt_mm.evaluation.metrics.retrieval_metric import RetrievalMetric, ranked_gains


class First(RetrievalMetric):
    """The gain of the first image, whatever the cut-off, divided by it."""

    label = 'First'

    def at_cutoffs(self, scores, gains):
        return ranked_gains(scores, gains, 1) / torch.tensor(self.topk)


def evaluate(metric: RetrievalMetric, *samples: dict) -> dict:
    for sample in samples:  # as an evaluator hands them over, batch by batch
        metric.process([], [sample])
    return metric.evaluate(len(samples))


SCORES = torch.tensor([0.1, 0.9, 0.5])


class TestQueries:

    def test_relevant_images_are_given_by_index_or_as_gains(self):
        by_index = dict(pred_score=SCORES, gt_label=torch.tensor([1, 2]))
        by_gain = dict(pred_score=SCORES, gt_score=torch.tensor([0, 1, 1]))
        assert evaluate(First(1), by_index) == evaluate(First(1), by_gain) == {'retrieval/First@1': 100}

    def test_gains_may_be_graded_and_win_over_indices(self):
        sample = dict(pred_score=SCORES, gt_score=torch.tensor([0, 0.25, 1]), gt_label=torch.tensor([1]))
        assert evaluate(First(1), sample) == {'retrieval/First@1': 25}

    def test_a_query_without_relevant_images_counts_as_zero(self):
        found, none = (dict(pred_score=SCORES, gt_label=torch.tensor(relevant, dtype=torch.long)) for relevant in ([1], []))
        assert evaluate(First((1, 2)), found, none) == {'retrieval/First@1': 50, 'retrieval/First@2': 25}

    def test_gains_are_not_rounded_to_the_similarities_half_precision(self):
        sample = dict(pred_score=SCORES.bfloat16(), gt_score=torch.tensor([0, 0.3, 1]))
        assert evaluate(First(1), sample) == {'retrieval/First@1': pytest.approx(30, abs=1e-4)}

    def test_an_image_beyond_the_gallery_is_refused(self):
        with pytest.raises(ValueError, match='relevant image 3, but the gallery has 3 images.*RetrievalQueries'):
            First(1).process([], [dict(pred_score=SCORES, gt_label=torch.tensor([0, 3]))])


def test_results_take_the_prefix_that_is_asked_for():
    sample = dict(pred_score=SCORES, gt_label=torch.tensor([0]))
    assert list(evaluate(First([1, 5], prefix='val'), sample)) == ['val/First@1', 'val/First@5']


@pytest.mark.parametrize('topk', [0, (1, 0), (), 1.5, True, '5', (1, None)])
def test_cut_offs_that_are_none(topk):
    with pytest.raises(ValueError, match='expected a whole number, 1 or more'):
        First(topk)


def test_gains_come_in_the_order_of_falling_similarity():
    scores, gains = torch.tensor([[0.1, 0.9, 0.5], [3., 2., 1.]]), torch.tensor([[1., 2., 3.], [1., 2., 3.]])
    assert ranked_gains(scores, gains, 2).tolist() == [[2., 3.], [1., 2.]]
    assert ranked_gains(scores, gains, 9).tolist() == [[2., 3., 1.], [1., 2., 3.]]
