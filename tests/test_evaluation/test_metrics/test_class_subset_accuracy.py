"""Accuracy among the classes that a data set has."""
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample

from lbbt_mm.evaluation import ClassSubsetAccuracy

META = dict(classes=tuple('abcdef'), class_groups=((1, ), (3, ), (4, )))


def score(scores, labels, meta=META, **options):
    evaluator = Evaluator(metrics=[ClassSubsetAccuracy(**options)])
    evaluator.dataset_meta = meta
    samples = [DataSample().set_pred_score(torch.tensor(row)).set_gt_label(label) for row, label in zip(scores, labels)]
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_scores_of_classes_that_do_not_occur_do_not_count():
    scores = [[0.9, 0.05, 0., 0.02, 0.03, 0.], [0.9, 0.02, 0., 0.05, 0.03, 0.], [0., 0.1, 0.9, 0.2, 0.3, 0.]]
    assert score(scores, [1, 1, 1], topk=(1, 2, 3)) == {
        'accuracy/top1': pytest.approx(100 / 3), 'accuracy/top2': pytest.approx(100 / 3), 'accuracy/top3': 100.}


@pytest.mark.parametrize('topk', (1, 2))
def test_it_is_mmpretrain_s_accuracy_on_the_scores_of_the_subset(topk):
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(200, 6, generator=generator)
    places = torch.randint(3, (200, ), generator=generator)
    expected = Accuracy.calculate(scores[:, [1, 3, 4]], places, (topk, ))[0][0].item()
    labels = torch.tensor([1, 3, 4])[places].tolist()
    assert score(scores.tolist(), labels, topk=topk)[f'accuracy/top{topk}'] == pytest.approx(expected, abs=1e-4)


def test_of_several_classes_in_a_folder_the_highest_score_counts():
    meta = dict(META, class_groups=((0, 2), (5, )))
    assert score([[0.1, 0.9, 0.4, 0., 0., 0.3]], [0], meta)['accuracy/top1'] == 100
    assert score([[0.1, 0.9, 0.2, 0., 0., 0.3]], [0], meta)['accuracy/top1'] == 0


def test_equal_and_undefined_scores_are_no_gift():
    assert score([[0.5] * 6] * 3, [1, 3, 4], topk=1)['accuracy/top1'] == pytest.approx(100 / 3)
    assert score([[float('nan')] * 6], [1], topk=3)['accuracy/top3'] == 0


@pytest.mark.parametrize('meta, width, topk, said', [
    ({}, 6, 1, 'the data set does not say which classes it has; expected lbbt_mm.ClassSubset'),
    (META, 5, 1, 'the model gives 5 scores, and classes of the data set names 6'),
    (META, 6, 4, r'topk=\(4,\), and the data set has 3 classes; expected numbers from 1 to 3')])
def test_what_cannot_be_scored_is_refused(meta, width, topk, said):
    with pytest.raises(ValueError, match=said):
        score([[0.5] * width], [1], meta, topk=topk)


@pytest.mark.parametrize('topk', (0, True, (1, 1.5), ()))
def test_topk_is_a_whole_number(topk):
    with pytest.raises(ValueError, match='expected a whole number, 1 or more, or several'):
        ClassSubsetAccuracy(topk=topk)
