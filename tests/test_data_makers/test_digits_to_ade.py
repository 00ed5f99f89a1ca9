"""The segmentation set of scattered digits: layout, masks, and that our configs take it."""
import numpy as np
import pytest
from mmengine.config import Config

from lbbt_mm.checks.datasets import ALL_LOADERS
from tests.canvas_sets import SPLITS, boxes_and_masks, files, read
from tests.checked import check_segmentation
from tests.tiny_detection import REPO


def test_the_segmentation_set_has_the_layout_of_ade20k_and_the_canvases_of_the_detection_set(sets):
    coco, ade = sets
    assert set(files(ade)) == {'recipe.json'} | {
        f'{kind}/{folder}/{number:06d}.{suffix}' for _, folder, count in SPLITS for number in range(count)
        for kind, suffix in (('images', 'jpg'), ('annotations', 'png'))}
    for split, folder, count in SPLITS:
        for number in range(count):
            image = read(ade / 'images' / folder / f'{number:06d}.jpg')
            canvas = read(coco / f'{split}2017' / f'{number:06d}.png')
            assert image.shape == canvas.shape == (64, 64)
            assert np.abs(image.astype(int) - canvas).mean() < 4, 'but for JPEG the same picture'


@pytest.mark.parametrize('split, folder, count', SPLITS)
def test_masks_agree_with_boxes(sets, split, folder, count):
    for boxes, mask in boxes_and_masks(sets, split, folder):
        rest = mask.copy()
        for label, x, y, w, h in boxes:
            inside = mask[y:y + h, x:x + w]
            assert set(np.unique(inside)) <= {0, 1, label + 2}, 'no other digit is in the box'
            ink = inside == label + 2
            assert all(side.any() for side in (ink[0], ink[-1], ink[:, 0], ink[:, -1])), 'the ink fills the box'
            rest[y:y + h, x:x + w] = 1
        assert set(np.unique(rest)) <= {0, 1}, 'every digit has a box'


def test_rims_are_ignored_and_everything_brighter_is_ink(sets):
    _, ade = sets
    for _, folder, count in SPLITS:
        for number in range(count):
            image, mask = (read(ade / kind / folder / f'{number:06d}.{suffix}').astype(int)
                           for kind, suffix in (('images', 'jpg'), ('annotations', 'png')))
            assert 0 < (mask == 0).mean() < 0.1
            jpeg = 30
            assert image[mask >= 2].min() > 60 - jpeg and image[mask == 0].max() <= 60 + jpeg
            assert image[mask == 1].max() < 40 + jpeg, 'the background has the grain alone'


def test_the_demo_s_config_and_the_converter_have_the_same_classes(sets, monkeypatch):
    from lbbt_mm.data_makers.digits_to_ade import CLASSES
    monkeypatch.setenv('LBBT_DATA_ROOT', str(sets[1]))
    cfg = Config.fromfile(REPO / 'configs' / 'demo' / 'segmenter_smollm2_digits.py')
    check_segmentation(cfg, ALL_LOADERS)
    for name in ('train', 'val', 'test'):
        meta = cfg[f'{name}_dataloader'].dataset.metainfo
        assert tuple(meta.classes) == CLASSES
        assert len({tuple(colour) for colour in meta.palette}) == len(CLASSES), 'each class has a colour of its own'


def test_the_small_config_takes_the_set_as_it_is(sets, monkeypatch):
    monkeypatch.setenv('LBBT_DATA_ROOT', str(sets[1]))
    monkeypatch.setenv('LBBT_NUM_CLASSES', '11')
    check_segmentation(Config.fromfile(REPO / 'configs' / 'small' / 'segmenter_gpt2_ade20k.py'))
