"""PairDataPreprocessor: features as they are, images as their own preprocessor has them."""
import pytest
import torch
from mmpretrain.structures import DataSample

from lbbt_mm.models.multimodal import PairDataPreprocessor
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close

SETTINGS = dict(mean=[1, 2, 3], std=[2, 2, 2], to_rgb=True)
#: Blue, green and red of an image as it is read.
IMAGE = torch.tensor([5., 2., 1.])[:, None, None].expand(3, 4, 4)


def test_features_are_handed_on_with_their_samples():
    inputs = dict(image=torch.randn(2, 3), text=torch.randn(2, 5))
    found = PairDataPreprocessor()(dict(inputs=inputs, data_samples=['a', 'b']), training=True)
    assert all(torch.equal(found['inputs'][name], features) for name, features in inputs.items())
    assert found['data_samples'] == ['a', 'b']


@pytest.mark.parametrize('config', [SETTINGS, dict(SETTINGS, type='mmpretrain.ClsDataPreprocessor')])
def test_images_go_to_a_preprocessor_of_their_own(config):
    found = PairDataPreprocessor(config)(dict(inputs=[IMAGE, IMAGE], data_samples=[DataSample().set_gt_label(1)] * 2))
    assert found['inputs'].shape == (2, 3, 4, 4)
    assert_close(found['inputs'][0, :, 0, 0], torch.tensor([0., 0., 1.]))
    assert [sample.gt_label.item() for sample in found['data_samples']] == [1, 1]


def test_a_model_has_one_whatever_its_config_says_of_images():
    for config in (None, SETTINGS, dict(type='lbbt_mm.PairDataPreprocessor', images=SETTINGS)):
        model = MODELS.build(dict(type='lbbt_mm.ShareLock', data_preprocessor=config))
        assert type(model.data_preprocessor) is PairDataPreprocessor
        assert (model.data_preprocessor.images is None) == (config is None)


def test_images_without_a_preprocessor():
    with pytest.raises(TypeError, match='the batch is of images, and there is no preprocessor for them; expected features'):
        PairDataPreprocessor()(dict(inputs=torch.zeros(2, 3, 4, 4)))


def test_a_loader_that_does_not_put_batches_together():
    inputs = dict(image=torch.zeros(2, 3), text=[torch.zeros(5)] * 2)
    with pytest.raises(TypeError, match=r"text is a list; expected a tensor \(N, C\). Set collate_fn=dict\(type='lbbt_mm"):
        PairDataPreprocessor()(dict(inputs=inputs))
