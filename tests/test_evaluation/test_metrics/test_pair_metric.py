"""What metrics of pairs keep of a batch, and give back."""
import pickle

import pytest
import torch

from lbbt_mm.evaluation.metrics.pair_metric import PairMetric, embeddings_of


class Rows(PairMetric):
    """Counts pairs, and keeps a row beside the image."""
    kept = ('image_key', 'text_row')

    def compute_metrics(self, results):
        return dict(pairs=len(results))


def samples(images, texts, first=0):
    return [dict(image_embedding=image, text_embedding=text, image_key=f'{row}.png', text_row=row)
            for row, (image, text) in enumerate(zip(images, texts), first)]


def test_embeddings_of_all_batches_come_back_in_their_order_in_float32():
    metric, images, texts = Rows(), torch.arange(10.).view(5, 2), -torch.arange(10.).view(5, 2)
    metric.process(None, samples(images[:2].bfloat16(), texts[:2].double()))
    metric.process(None, samples(images[2:], texts[2:], first=2))
    found = embeddings_of(metric.results)
    assert all(part.dtype == torch.float32 for part in found)
    assert torch.equal(found[0], images) and torch.equal(found[1], texts)
    assert [(result['image_key'], result['text_row']) for result in metric.results] == [(f'{n}.png', n) for n in range(5)]


def test_a_result_is_sent_to_other_ranks_without_its_batch():
    metric = Rows()
    metric.process(None, samples(torch.zeros(1000, 4), torch.zeros(1000, 4)))
    assert len(pickle.dumps(metric.results[0])) < 1000


@pytest.mark.parametrize('prefix, name', [(None, 'pair/pairs'), ('val', 'val/pairs')])
def test_names_begin_with_the_prefix(prefix, name):
    metric = Rows(prefix=prefix)
    metric.process(None, samples(torch.zeros(3, 2), torch.zeros(3, 2)))
    assert metric.evaluate(3) == {name: 3}


@pytest.mark.parametrize('name', ['image_embedding', 'text_embedding', 'text_row'])
def test_a_sample_that_lacks_something(name):
    batch = samples(torch.zeros(3, 2), torch.zeros(3, 2))
    batch[1].pop(name)
    with pytest.raises(ValueError, match=f'Rows: a data sample has no {name}; expected predictions for pairs of features'):
        Rows().process(None, batch)
