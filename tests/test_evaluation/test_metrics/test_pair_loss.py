"""PairLoss: the model's loss on pairs that it does not train on."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from lbbt_mm.evaluation import PairLoss
from lbbt_mm.models.losses import InfoNCELoss, SigmoidPairLoss
from lbbt_mm.registry import METRICS


def evaluate(metric, image, text, batch=4, **fields):
    for start in range(0, len(image), batch):
        samples = []
        for pair in zip(image[start:start + batch], text[start:start + batch]):
            sample = BaseDataElement(image_embedding=pair[0], text_embedding=pair[1])
            sample.set_metainfo(fields)
            samples.append(sample.to_dict())
        metric.process(None, samples)
    return metric.evaluate(len(image))


@pytest.fixture
def pairs():
    torch.manual_seed(0)
    return [F.normalize(torch.randn(21, 5), dim=-1) for _ in range(2)]


@pytest.mark.parametrize('loss', [InfoNCELoss(5.), SigmoidPairLoss(7., -2.)], ids=['InfoNCE', 'sigmoid'])
def test_it_is_the_model_s_loss_as_it_is_now(pairs, loss):
    found = evaluate(METRICS.build(dict(type='lbbt_mm.PairLoss')), *pairs, pair_loss=loss.config())
    assert found == {'pair/loss': pytest.approx(loss(*pairs).item(), rel=1e-5)}


def test_pairs_are_taken_in_groups_whatever_the_batches(pairs):
    loss = InfoNCELoss()
    expected = sum(loss(image, text) * len(image) for image, text in zip(*(part.tensor_split(4) for part in pairs))) / 21
    for batch in (1, 4, 21):
        found = evaluate(PairLoss(group_size=5), *pairs, batch=batch, pair_loss=loss.config())
        assert found['pair/loss'] == pytest.approx(expected.item(), rel=1e-5)


def test_a_model_that_predicts_no_embeddings():
    with pytest.raises(ValueError, match='PairLoss: a data sample has no image_embedding; expected predictions for pairs'):
        PairLoss().process(None, [dict(pred_score=torch.zeros(3))])


@pytest.mark.parametrize('size', [1, 2.5, None])
def test_sizes_that_cannot_be(size):
    with pytest.raises(ValueError, match='group_size=.*; expected a whole number, 2 or more'):
        PairLoss(group_size=size)
