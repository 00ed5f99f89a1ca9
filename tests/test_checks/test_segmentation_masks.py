"""Masks: their form, their size, and the classes that they hold."""
import cv2
import numpy as np
import pytest
from PIL import Image

from tests.checked import check, check_segmentation, training_alone
from tests.tiny_segmentation import mask_of, rewrite_mask, run_config

TRAIN = 'train_dataloader.dataset'


def test_a_sound_data_set_passes_and_says_what_was_looked_at(root, log):
    check(root)
    assert any('train_dataloader.dataset: 3 masks hold no value outside the 4 classes' in line for line in log)
    assert any('val_dataloader.dataset: 2 masks' in line for line in log)


def test_a_class_count_above_what_the_masks_hold_is_warned_of(root, log):
    check(root)
    assert not any('the highest class' in line for line in log)
    cfg = training_alone(root, model__decode_head__num_classes=150)
    cfg.train_dataloader.dataset.metainfo = dict(classes=[str(number) for number in range(150)])
    check_segmentation(cfg, ('train_dataloader', ))
    assert any('the highest class in its masks is number 4 of 150' in line for line in log)


def test_a_set_whose_masks_another_loader_does_not_load_is_checked_all_the_same(root):
    rewrite_mask(root, lambda mask: mask + 100)
    cfg = run_config(root)
    cfg.val_dataloader.dataset = {**cfg.train_dataloader.dataset, 'pipeline': [dict(type='LoadImageFromFile')]}
    with pytest.raises(ValueError, match='001.png holds'):
        check_segmentation(cfg, ('val_dataloader', 'train_dataloader'))


def test_a_mask_of_one_bit(root):
    """mmseg reads it as 0 and 1."""
    Image.fromarray(cv2.imread(str(mask_of(root)), cv2.IMREAD_UNCHANGED) > 1).save(mask_of(root))
    check(root)


@pytest.mark.parametrize('value, allowed', [(4, True), (5, False), (254, False), (255, True), (0, True)])
def test_values_outside_the_classes(root, value, allowed):
    rewrite_mask(root, lambda mask: np.where(mask == 1, value, mask).astype(np.uint8))
    if allowed:
        check(root)
        return
    with pytest.raises(ValueError, match=rf'{TRAIN}: the mask .*001.png holds {value}; expected 1 to 4, for 4 classes with '
                       'reduce_zero_label=True, and 0 or 255 where pixels are ignored'):
        check(root)


@pytest.mark.parametrize('value, allowed', [(3, True), (4, False), (255, True)])
def test_values_where_zero_is_a_class(root, value, allowed):
    for number in range(3):
        rewrite_mask(root, lambda mask: np.maximum(mask, 1) - 1, number)
    rewrite_mask(root, lambda mask: np.where(mask == 0, value, mask).astype(np.uint8))
    overrides = dict(train_dataloader__dataset__reduce_zero_label=False)
    if allowed:
        check_segmentation(training_alone(root, **overrides), ('train_dataloader', ))
        return
    with pytest.raises(ValueError, match='holds 4; expected 0 to 3, .*reduce_zero_label=False, and 255'):
        check_segmentation(training_alone(root, **overrides), ('train_dataloader', ))


def test_another_ignored_value_of_the_heads(root):
    cfg = run_config(root, model__decode_head__ignore_index=99)
    with pytest.raises(ValueError, match='holds 0; expected 1 to 4, .* and 100 where pixels are ignored'):
        check_segmentation(cfg, ('train_dataloader', ))
    for number in range(3):
        rewrite_mask(root, lambda mask: np.where(mask == 0, 100, mask).astype(np.uint8), number)
    check_segmentation(cfg, ('train_dataloader', ))


def test_a_mask_with_a_palette_as_pascal_voc_s(root):
    mask = Image.open(mask_of(root)).convert('P')
    mask.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 8, 8, 8])
    mask.save(mask_of(root))
    check(root)


def test_a_mask_in_colours(root):
    rewrite_mask(root, lambda mask: np.stack([mask] * 3, axis=2))
    with pytest.raises(ValueError, match=r'shape \(48, 64, 3\) and type uint8; expected one channel of 8 bits'):
        check(root)


def test_a_mask_of_16_bits(root):
    rewrite_mask(root, lambda mask: mask.astype(np.uint16) + 256)
    with pytest.raises(ValueError, match='type uint16; expected one channel of 8 bits'):
        check(root)


def test_a_mask_that_is_no_image(root):
    mask_of(root).write_bytes(b'not a picture')
    with pytest.raises(ValueError, match='001.png cannot be read as an image'):
        check(root)


def test_masks_of_another_size_than_their_images(root):
    rewrite_mask(root, lambda mask: np.repeat(np.repeat(mask, 2, 0), 2, 1))
    with pytest.raises(ValueError, match=rf'{TRAIN}: 1 of 3 masks are of another size than their images, first .*001.png: '
                       '128x96 pixels, its image 64x48. Resize the mask'):
        check(root)


def test_masks_that_lie_otherwise_than_their_images(root):
    image = Image.open(root / 'images' / 'training' / '001.jpg')
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(root / 'images' / 'training' / '001.jpg', exif=exif)
    with pytest.raises(ValueError, match='1 of 3 masks are of another size .*its image 48x64. Turn the mask: the image is '
                       'loaded as its EXIF'):
        check(root)


@pytest.mark.parametrize('value', [0, 255])
def test_masks_without_a_labelled_pixel(root, value, log):
    rewrite_mask(root, lambda mask: np.full_like(mask, value))
    check(root)
    assert any('1 of 3 masks have no labelled pixel, first ' in line and '001.png' in line for line in log)
    for number in range(3):
        rewrite_mask(root, lambda mask: np.full_like(mask, value), number)
    with pytest.raises(ValueError, match=f'{TRAIN}: all 3 masks have no labelled pixel, first .*Ignored are 0 and 255'):
        check(root)


def test_binary_masks_of_0_and_255(root):
    """Where 255 is ignored, a model that says 0 everywhere scores 100."""
    cfg = training_alone(root, train_dataloader__dataset__reduce_zero_label=False, model__decode_head__num_classes=2,
                         model__auxiliary_head=None)
    cfg.train_dataloader.dataset.metainfo = dict(classes=('ground', 'thing'))
    for number in range(3):
        rewrite_mask(root, lambda mask: np.where(mask > 1, 255, 0).astype(np.uint8), number)
    with pytest.raises(ValueError, match='hold one class alone, number 1, and 255, which is ignored.*write it as its'):
        check_segmentation(cfg, ('train_dataloader', ))
