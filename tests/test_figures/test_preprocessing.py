"""A figure's images are normalised as the model's own preprocessor does it, and stay themselves."""
import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from lbbt_mm.figures.preprocessing import preprocess


def test_images_are_normalised_and_stacked():
    model = torch.nn.Module()
    model.data_preprocessor = ClsDataPreprocessor(num_classes=2, mean=[1., 2., 3.], std=[2., 2., 2.])
    images, samples = [torch.full((3, 2, 2), 5, dtype=torch.uint8) for _ in range(4)], [DataSample() for _ in range(4)]
    prepared = preprocess(model, images, samples)
    assert prepared['inputs'].shape == (4, 3, 2, 2) and prepared['inputs'].dtype == torch.float32
    assert prepared['inputs'][0, :, 0, 0].tolist() == [2., 1.5, 1.] and prepared['data_samples'] == samples


def test_images_are_not_mixed_with_others():
    model = torch.nn.Module()
    model.data_preprocessor = ClsDataPreprocessor(num_classes=2, batch_augments=dict(augments=dict(type='Mixup', alpha=0.8)))
    mixing, images = model.data_preprocessor.batch_augments, torch.rand(4, 3, 2, 2)
    samples = [DataSample().set_gt_label(0) for _ in images]
    assert torch.equal(preprocess(model, images, samples, training=True)['inputs'], images)
    assert model.data_preprocessor.batch_augments is mixing
