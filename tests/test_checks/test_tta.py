"""Test-time augmentation that leaves less of an image than a patch is refused, before a test that augments."""
import pytest
from mmengine.config import Config

from lbbt_mm.checks import check_datasets, find_problems, raise_fatal
from lbbt_mm.checks.tta import tta_problems
from tests.tiny_segmentation import run_config


def check_tta_sizes(*arguments) -> None:
    raise_fatal(tta_problems(*arguments))


def config(root, *resizes) -> Config:
    cfg = run_config(root)
    cfg.tta_pipeline[1].transforms[0] = [dict(type='Resize', keep_ratio=True, **resize) for resize in resizes]
    return cfg


def test_ratios_that_leave_a_patch_pass(root):
    check_tta_sizes(config(root, dict(scale_factor=0.17), dict(scale=(64, 48)), dict(scale_factor=2.0), dict(scale=64),
                           dict(scale_factor=(0.5, 0.5))))


@pytest.mark.parametrize('resize, size', [(dict(scale_factor=0.1), '6x5'), (dict(scale=(32, 6)), '8x6'),
                                          (dict(scale_factor=(0.5, 0.1)), '7x5'), (dict(scale=6), '6x5'),
                                          (dict(scale_factor=0), '0x0')])
def test_ratios_that_leave_less_than_a_patch(root, resize, size):
    with pytest.raises(ValueError, match=rf'tta_pipeline: Resize to .* 64x48 pixels, {size}, smaller than a patch of 8x8'):
        check_tta_sizes(config(root, dict(scale_factor=1.0), resize))


def test_encoders_without_patches_take_any_size(root):
    cfg = config(root, dict(scale_factor=0.01))
    cfg.model.backbone = dict(type='ResNet', depth=18)
    check_tta_sizes(cfg)


def test_an_encoder_that_leaves_its_patches_to_the_default(root):
    cfg = config(root, dict(scale_factor=0.25))
    check_tta_sizes(cfg)
    cfg.model.backbone = dict(type='VisionTransformer')
    with pytest.raises(ValueError, match='16x12, smaller than a patch of 16x16'):
        check_tta_sizes(cfg)


def test_images_without_masks_count_too(root):
    cfg = config(root, dict(scale_factor=0.1))
    cfg.test_dataloader.dataset.data_prefix = dict(img_path='images/validation')
    with pytest.raises(ValueError, match='smaller than a patch'):
        check_tta_sizes(cfg, ('test_dataloader', ))


def test_neither_a_training_nor_a_test_without_augmentation_asks_and_a_report_tells(root):
    cfg = config(root, dict(scale_factor=0.1))
    check_datasets(cfg)
    check_datasets(cfg, ('test_dataloader', ))
    problem, = find_problems(cfg)
    assert str(problem).endswith('Remove that ratio from tta_pipeline.') and problem.fatal
    assert not list(find_problems(cfg, ['train_dataloader']))
