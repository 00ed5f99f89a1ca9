"""PairTest: which of two captions belongs to which of two images."""
import json
from itertools import product

import pytest
import torch

from lbbt_mm.datasets.captions import open_captions
from lbbt_mm.evaluation import PairTest
from lbbt_mm.registry import METRICS


def write(folder, quadruples):
    """Quadruples of (image, caption, image, caption)."""
    names = 'image_0', 'caption_0', 'image_1', 'caption_1'
    path = folder / 'quadruples.jsonl'
    path.write_text('\n'.join(json.dumps(dict(zip(names, quadruple))) for quadruple in quadruples))
    return path


def evaluate(path, images, texts):
    """As ShareLock would: a data sample for each row of the text store."""
    metric = METRICS.build(dict(type='lbbt_mm.PairTest', quadruples=str(path)))
    pairs = open_captions(path).pairs
    metric.process(None, [dict(image_embedding=images[image], text_embedding=texts[caption], image_key=image, text_row=row)
                          for row, (image, caption) in enumerate(pairs)])
    return [metric_value for _, metric_value in sorted(metric.evaluate(len(pairs)).items())]  # group, image, text


def winoground(similar):
    """The published scores of one quadruple; similar[i][t] of image i and caption t."""
    text = similar[0][0] > similar[0][1] and similar[1][1] > similar[1][0]
    image = similar[0][0] > similar[1][0] and similar[1][1] > similar[0][1]
    return [100. * (text and image), 100. * image, 100. * text]


def test_scores_are_the_published_ones_for_every_order_of_the_four_similarities(tmp_path):
    path = write(tmp_path, [('a', 'A', 'b', 'B')])
    seen = set()
    for values in product((0.1, 0.4, 0.7), repeat=4):
        similar = torch.tensor(values).view(2, 2)
        images = dict(a=similar[0], b=similar[1])
        texts = dict(A=torch.tensor([1., 0.]), B=torch.tensor([0., 1.]))
        found = evaluate(path, images, texts)
        assert found == winoground(similar.tolist())
        seen.add(tuple(found))
    assert seen == {(0., 0., 0.), (0., 100., 0.), (0., 0., 100.), (100., 100., 100.)}


def test_images_may_be_in_several_quadruples(tmp_path):
    """Their captions then stand elsewhere in the store than in the file."""
    path = write(tmp_path, [('a', 'A', 'b', 'B'), ('c', 'C', 'a', 'other'), ('b', 'B', 'c', 'C')])
    assert [row for row, _ in enumerate(open_captions(path).pairs)] != PairTest(str(path))._rows
    vectors = dict(zip('abc', torch.eye(4)))
    texts = dict(A=vectors['a'], B=vectors['b'], C=vectors['c'], other=vectors['c'])
    assert evaluate(path, vectors, texts) == pytest.approx([200 / 3] * 3)


def test_features_of_other_pairs(tmp_path):
    path = write(tmp_path, [('a', 'A', 'b', 'B')])
    metric, vector = PairTest(str(path)), torch.ones(2)
    metric.process(None, [dict(image_embedding=vector, text_embedding=vector, image_key=key, text_row=row)
                          for row, key in enumerate('ax')])
    with pytest.raises(ValueError, match='2 pairs were evaluated, and .* has 2, or they are others; expected features of'):
        metric.evaluate(2)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match='none.csv: no such file'):
        PairTest('none.csv')
