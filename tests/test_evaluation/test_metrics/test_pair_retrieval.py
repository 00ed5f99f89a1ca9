"""PairRetrieval: recall both ways, with several captions an image."""
import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.evaluation import PairRetrieval
from lbbt_mm.evaluation.metrics import pair_retrieval
from lbbt_mm.registry import METRICS


def evaluate(metric, images, texts, owners):
    metric.process(None, [dict(image_embedding=images[owner], text_embedding=text, image_key=f'{owner}.png')
                          for owner, text in zip(owners, texts)])
    return {name.removeprefix('pair/'): value for name, value in metric.evaluate(len(texts)).items()}


def by_sorting(images, texts, owners, k):
    """What is among the first k, counted by hand."""
    owners = torch.tensor(owners)
    first = (images @ texts.t()).argsort(1, descending=True)[:, :k]
    of_images = (owners[first] == torch.arange(len(images))[:, None]).any(1)
    first = (texts @ images.t()).argsort(1, descending=True)[:, :k]
    of_texts = (first == owners[:, None]).any(1)
    return of_images.double().mean().item() * 100, of_texts.double().mean().item() * 100


@pytest.mark.parametrize('rows', [4, 1024])
def test_recall_is_the_share_that_is_found_among_the_first(rows, monkeypatch):
    monkeypatch.setattr(pair_retrieval, '_ROWS', rows)
    torch.manual_seed(0)
    owners = [image for image in range(15) for _ in range(1 + image % 3)]
    images = F.normalize(torch.randn(15, 6), dim=-1)
    texts = F.normalize(images[owners] + 0.6 * torch.randn(len(owners), 6), dim=-1)
    found = evaluate(METRICS.build(dict(type='lbbt_mm.PairRetrieval', topk=(1, 3, 10))), images, texts, owners)
    for k in (1, 3, 10):
        of_images, of_texts = by_sorting(images, texts, owners, k)
        assert found[f'image_to_text_R@{k}'] == pytest.approx(of_images)
        assert found[f'text_to_image_R@{k}'] == pytest.approx(of_texts)
    assert 0 < found['image_to_text_R@1'] < 100


def test_one_of_an_image_s_captions_is_enough():
    images = torch.eye(2)
    texts = torch.stack([images[0], images[1], images[1]])
    found = evaluate(PairRetrieval(topk=1), images, texts, [0, 0, 1])
    assert found == {'image_to_text_R@1': 50., 'text_to_image_R@1': pytest.approx(200 / 3)}


def test_a_model_that_embeds_everything_in_one_place_finds_nothing():
    same = F.normalize(torch.ones(7, 3), dim=-1)
    assert set(evaluate(PairRetrieval(topk=(1, 5)), same, same, range(7)).values()) == {0.}


@pytest.mark.parametrize('topk', [0, (), (1, 2.5)])
def test_cut_offs_that_cannot_be(topk):
    with pytest.raises(ValueError, match='topk=.*; expected a whole number, 1 or more'):
        PairRetrieval(topk=topk)
