"""Images of different sizes: segmentors take those of one size together, and padding is none of them."""
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.structures import BaseDataElement
from mmseg.models import SegDataPreProcessor
from torch import nn

from lbbt_mm.figures.image_sizes import of_one_size, stackable, without_padding

SIZES = [(4, 6), (6, 4), (4, 6), (2, 2)]


def split(processor, training=False):
    model = nn.Module()
    model.data_preprocessor = processor
    parts = list(stackable(model, [torch.zeros(3, *size) for size in SIZES], [*range(4)], training))
    for images, samples in parts:
        assert [tuple(image.shape[1:]) for image in images] == [SIZES[sample] for sample in samples]
    return [samples for _, samples in parts]


@pytest.mark.parametrize('processor, training, parts', [
    (SegDataPreProcessor(size=(4, 6)), False, [[0, 2], [1], [3]]),
    (SegDataPreProcessor(size=(4, 6)), True, [[0, 2, 3], [1]]),  # as many sizes as there are after padding
    (SegDataPreProcessor(size=(6, 6)), True, [[0, 1, 2, 3]]),
    (SegDataPreProcessor(size_divisor=2), True, [[0, 1, 2, 3]]),
    (SegDataPreProcessor(size_divisor=2), False, [[0, 2], [1], [3]]),
    (DetDataPreprocessor(), False, [[0, 1, 2, 3]])])
def test_images_that_a_preprocessor_takes_together(processor, training, parts):
    assert split(processor, training) == parts


def test_images_of_one_size_by_their_places():
    images = [torch.zeros(3, *size) for size in SIZES]
    assert list(of_one_size(images)) == [[0, 2], [1], [3]]
    assert list(of_one_size(images, least=(4, 6))) == [[0, 2, 3], [1]]


def test_padding_is_left_out():
    inputs = torch.arange(2 * 4 * 4.).view(2, 1, 4, 4)
    first, second = without_padding(inputs, [BaseDataElement(metainfo=dict(img_shape=size)) for size in ((4, 4), (2, 3, 1))])
    assert torch.equal(first, inputs[:1]) and torch.equal(second, inputs[1:, :, :2, :3])


@pytest.mark.parametrize('sample', [BaseDataElement(), BaseDataElement(metainfo=dict(img_shape=(4, 4)))])
def test_a_batch_without_padding_stays_one(sample):
    inputs = torch.zeros(2, 1, 4, 4)
    assert [part is inputs for part in without_padding(inputs, [sample] * 2)] == [True]
