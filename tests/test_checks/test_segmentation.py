"""Checks of segmentation datasets: one clear error each, before a run starts."""
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from lbbt_mm.checks import raise_fatal
from lbbt_mm.checks.segmentation import segmentation_problems
from tests.tiny_segmentation import run_config, write_dataset

TRAIN = 'train_dataloader.dataset'


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / 'data', num_train=3, num_val=2)


def check_segmentation(cfg, *arguments) -> None:
    raise_fatal(segmentation_problems(cfg, *arguments))


def check(root, **overrides):
    check_segmentation(run_config(root, **overrides))


def training_alone(root, **overrides):
    """A config whose other data sets, which would have to mean the same, are left out."""
    cfg = run_config(root, **overrides)
    for name in ('val', 'test'):
        cfg.pop(f'{name}_dataloader')
    return cfg


def mask_of(root, number=1):
    return root / 'annotations' / 'training' / f'{number:03d}.png'


def rewrite(root, change, number=1):
    mask = cv2.imread(str(mask_of(root, number)), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(mask_of(root, number)), change(mask))


def test_a_sound_data_set_passes_and_says_what_was_looked_at(root, log):
    check(root)
    assert any('train_dataloader.dataset: 3 masks hold no value outside the 4 classes' in line for line in log)
    assert any('val_dataloader.dataset: 2 masks' in line for line in log)


@pytest.mark.parametrize('options', [dict(data_root='s3://bucket/data'), dict(backend_args=dict(backend='petrel'))])
def test_remote_data_sets_are_passed_over(root, log, options):
    cfg = run_config(root)
    cfg.train_dataloader.dataset.update(options)
    check_segmentation(cfg, ('train_dataloader', ))
    assert not any('masks' in line for line in log)


def test_a_class_count_above_what_the_masks_hold_is_warned_of(root, log):
    check(root)
    assert not any('the highest class' in line for line in log)
    cfg = training_alone(root, model__decode_head__num_classes=150)
    cfg.train_dataloader.dataset.metainfo = dict(classes=[str(number) for number in range(150)])
    check_segmentation(cfg, ('train_dataloader', ))
    assert any('the highest class in its masks is number 4 of 150' in line for line in log)


def test_a_set_whose_masks_another_loader_does_not_load_is_checked_all_the_same(root):
    rewrite(root, lambda mask: mask + 100)
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
    rewrite(root, lambda mask: np.where(mask == 1, value, mask).astype(np.uint8))
    if allowed:
        check(root)
        return
    with pytest.raises(ValueError, match=rf'{TRAIN}: the mask .*001.png holds {value}; expected 1 to 4, for 4 classes with '
                       'reduce_zero_label=True, and 0 or 255 where pixels are ignored'):
        check(root)


@pytest.mark.parametrize('value, allowed', [(3, True), (4, False), (255, True)])
def test_values_where_zero_is_a_class(root, value, allowed):
    for number in range(3):
        rewrite(root, lambda mask: np.maximum(mask, 1) - 1, number)
    rewrite(root, lambda mask: np.where(mask == 0, value, mask).astype(np.uint8))
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
        rewrite(root, lambda mask: np.where(mask == 0, 100, mask).astype(np.uint8), number)
    check_segmentation(cfg, ('train_dataloader', ))


def test_a_mask_with_a_palette_as_pascal_voc_s(root):
    mask = Image.open(mask_of(root)).convert('P')
    mask.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 8, 8, 8])
    mask.save(mask_of(root))
    check(root)


def test_files_outside_the_chosen_indices_are_nobody_s_business(root):
    mask_of(root, 2).unlink()
    check(root, train_dataloader__dataset__indices=2)
    check(root, train_dataloader__dataset__indices=[0, 1])
    with pytest.raises(FileNotFoundError, match='1 of 1 masks'):
        check(root, train_dataloader__dataset__indices=-1)


def test_a_training_set_that_names_no_masks(root):
    cfg = run_config(root)
    cfg.train_dataloader.dataset.data_prefix = dict(img_path='images/training')
    with pytest.raises(ValueError, match='no masks, but its pipeline loads them. Set data_prefix.seg_map_path'):
        check_segmentation(cfg)


def test_a_test_set_without_masks_is_fine(root):
    cfg = run_config(root)
    cfg.test_dataloader.dataset.update(data_prefix=dict(img_path='images/validation'),
                                       pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])
    check_segmentation(cfg, ('test_dataloader', ))


def test_a_head_that_learns_boundaries_has_classes_of_its_own(root):
    check(root, model__auxiliary_head=[dict(type='STDCHead', num_classes=2, boundary_threshold=0.1)])


def test_a_mask_in_colours(root):
    rewrite(root, lambda mask: np.stack([mask] * 3, axis=2))
    with pytest.raises(ValueError, match=r'shape \(48, 64, 3\) and type uint8; expected one channel of 8 bits'):
        check(root)


def test_a_mask_of_16_bits(root):
    rewrite(root, lambda mask: mask.astype(np.uint16) + 256)
    with pytest.raises(ValueError, match='type uint16; expected one channel of 8 bits'):
        check(root)


def test_a_mask_that_is_no_image(root):
    mask_of(root).write_bytes(b'not a picture')
    with pytest.raises(ValueError, match='001.png cannot be read as an image'):
        check(root)


def test_images_without_masks(root):
    mask_of(root).unlink()
    with pytest.raises(FileNotFoundError, match=rf'{TRAIN}: 1 of 3 masks are missing, first .*001.png. '
                       'Expected a mask for each image'):
        check(root)


def test_images_that_are_listed_and_absent(root):
    (root / 'train.txt').write_text('000\nnowhere\n')
    with pytest.raises(FileNotFoundError, match='1 of 2 images are missing, first .*nowhere.jpg'):
        check(root, train_dataloader__dataset__ann_file='train.txt')


def test_a_list_that_is_absent(root):
    with pytest.raises(FileNotFoundError, match='train_dataloader.dataset.ann_file: .*train.txt does not exist'):
        check(root, train_dataloader__dataset__ann_file='train.txt')


def test_folders_that_are_absent(root, tmp_path, monkeypatch):
    monkeypatch.setenv('LBBT_DATA_ROOT', '/else/where')
    with pytest.raises(FileNotFoundError, match='img_path: .*images/training is not a folder.*LBBT_DATA_ROOT .now '
                       '/else/where'):
        check(tmp_path / 'nowhere')


def test_a_folder_without_images(root):
    shutil.rmtree(root / 'images' / 'training')
    (root / 'images' / 'training').mkdir()
    with pytest.raises(FileNotFoundError, match=r'images/training holds no image \*.jpg'):
        check(root)


@pytest.mark.parametrize('head', ['decode_head', 'auxiliary_head'])
def test_a_class_count_that_contradicts_the_data_set(root, head):
    overrides = {f'model__{head}': dict(type='FCNHead', num_classes=7)} if head != 'decode_head' else {
        'model__decode_head__num_classes': 7}
    with pytest.raises(ValueError, match=rf"{TRAIN} has 4 classes \('ground', .*, but model.{head}.num_classes=7"):
        check(root, **overrides)


@pytest.mark.parametrize('head, allowed', ((dict(num_classes=1), 2), (dict(num_classes=2, out_channels=1), 2)))
def test_one_channel_is_for_two_classes(root, head, allowed):
    check(root, model__auxiliary_head=None)
    with pytest.raises(ValueError, match=rf"has 4 classes .*, but model.auxiliary_head.num_classes={head['num_classes']}"):
        check(root, model__auxiliary_head=dict(type='FCNHead', **head))
    for number in range(3):
        rewrite(root, lambda mask: np.minimum(mask, 2), number)
    cfg = training_alone(root, model__auxiliary_head=dict(type='FCNHead', **head), model__decode_head__num_classes=allowed)
    cfg.train_dataloader.dataset.metainfo = dict(classes=('ground', 'thing'))
    check_segmentation(cfg, ('train_dataloader', ))


def test_classes_of_a_known_data_set_are_its_own(root):
    cfg = run_config(root)
    cfg.train_dataloader.dataset.update(type='ADE20KDataset', metainfo=None)
    with pytest.raises(ValueError, match='has 150 classes .*num_classes=4'):
        check_segmentation(cfg, ('train_dataloader', ))


def test_wrappers_and_concatenations_are_looked_into(root):
    mask_of(root).unlink()
    cfg = run_config(root)
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=inner)])
    with pytest.raises(FileNotFoundError, match=r'train_dataloader.dataset.datasets.0.dataset: 1 of 3 masks'):
        check_segmentation(cfg)


def test_data_sets_of_other_codebases_are_passed_over(root):
    cfg = run_config('nowhere')
    cfg.default_scope = 'mmpretrain'
    check_segmentation(cfg)


# ------------------------------------------------------------------------------------ labels that mean another class
def test_reduce_zero_label_that_differs(root):
    cfg = run_config(root)
    for number in range(2):  # what each set holds fits its own rule
        path = root / 'annotations' / 'validation' / f'{number:03d}.png'
        cv2.imwrite(str(path), np.maximum(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), 1) - 1)
    cfg.val_dataloader.dataset.reduce_zero_label = False
    with pytest.raises(ValueError, match='val_dataloader.dataset: reduce_zero_label of BaseSegDataset is False, that of '
                       'train_dataloader.dataset True, so equal labels'):
        check_segmentation(cfg)


@pytest.mark.parametrize('classes', [('ground', 'green', 'red', 'blue'), ('a', 'b', 'c', 'd')])
def test_classes_that_differ(root, classes, log):
    cfg = run_config(root)
    cfg.test_dataloader.dataset.metainfo = dict(classes=classes)
    check_segmentation(cfg)
    assert any(line.startswith('test_dataloader.dataset: metainfo.classes is') for line in log), 'it is not used here'
    cfg.val_dataloader.dataset.metainfo = dict(classes=classes)
    with pytest.raises(ValueError, match=f"val_dataloader.dataset: metainfo.classes is '{classes[0]}', '{classes[1]}'"):
        check_segmentation(cfg)


def test_masks_of_another_size_than_their_images(root):
    rewrite(root, lambda mask: np.repeat(np.repeat(mask, 2, 0), 2, 1))
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
    rewrite(root, lambda mask: np.full_like(mask, value))
    check(root)
    assert any('1 of 3 masks have no labelled pixel, first ' in line and '001.png' in line for line in log)
    for number in range(3):
        rewrite(root, lambda mask: np.full_like(mask, value), number)
    with pytest.raises(ValueError, match=f'{TRAIN}: all 3 masks have no labelled pixel, first .*Ignored are 0 and 255'):
        check(root)


def test_binary_masks_of_0_and_255(root):
    """Where 255 is ignored, a model that says 0 everywhere scores 100."""
    cfg = training_alone(root, train_dataloader__dataset__reduce_zero_label=False, model__decode_head__num_classes=2,
                         model__auxiliary_head=None)
    cfg.train_dataloader.dataset.metainfo = dict(classes=('ground', 'thing'))
    for number in range(3):
        rewrite(root, lambda mask: np.where(mask > 1, 255, 0).astype(np.uint8), number)
    with pytest.raises(ValueError, match='hold one class alone, number 1, and 255, which is ignored.*write it as its'):
        check_segmentation(cfg, ('train_dataloader', ))


def test_images_and_masks_that_are_left_out_by_their_suffix(root, log):
    for folder, suffix, name in (('images', '.jpg', '001.png'), ('annotations', '.png', '002.PNG')):
        path = root / folder / 'training' / name
        shutil.copy(path.with_suffix(suffix), path.with_name(f'left{path.suffix}'))
    check(root)
    assert any(f'{TRAIN}: 1 of 4 images are left out, first ' in line and "that end in '.jpg'" in line for line in log)
    assert any(f'{TRAIN}: 1 of 4 masks are left out, first ' in line for line in log)


def test_a_validation_batch_of_mixed_sizes(root):
    path = root / 'images' / 'validation' / '001.jpg'
    mask = root / 'annotations' / 'validation' / '001.png'
    for file in (path, mask):
        Image.open(file).crop((0, 0, 32, 48)).save(file)
    check(root, val_dataloader__batch_size=2)
    load, resize, truth, pack = run_config(root).val_dataloader.dataset.pipeline
    for steps in ([load, truth, pack], [load, dict(resize, keep_ratio=True), truth, pack]):
        cfg = run_config(root, val_dataloader__batch_size=2)
        cfg.val_dataloader.dataset.pipeline = steps
        with pytest.raises(ValueError, match=r'val_dataloader.batch_size: is 2, but val_dataloader.dataset has images of '
                           r'different sizes \(.*: 64x48, .*001.jpg: 32x48\).*batch_size=1'):
            check_segmentation(cfg)
        cfg.val_dataloader.batch_size = 1
        check_segmentation(cfg)


@pytest.mark.parametrize('damage, message', [
    (lambda path: path.write_bytes(b''), 'images are empty, first .*001.jpg'),
    (lambda path: path.write_bytes(path.read_bytes()[:300]), 'images cannot be decoded to their end, first .*001.jpg')])
def test_images_that_cannot_be_loaded(root, damage, message):
    damage(root / 'images' / 'training' / '001.jpg')
    with pytest.raises(ValueError, match=message):
        check(root)


def test_a_pipeline_that_reads_masks_by_another_rule_than_its_data_set(root):
    cfg = run_config(root)
    own = cfg.train_dataloader.dataset.get('reduce_zero_label', False)
    cfg.train_dataloader.dataset.pipeline[1].reduce_zero_label = not own
    with pytest.raises(ValueError, match="its pipeline's LoadAnnotations has reduce_zero_label=.*, the data set itself"):
        check_segmentation(cfg)


def test_an_evaluator_that_ignores_another_label_is_named(root):
    cfg = run_config(root)
    cfg.val_evaluator.ignore_index = 0
    assert any(str(problem).startswith('val_evaluator: ignores the label 0, the head 255') and not problem.fatal
               for problem in segmentation_problems(cfg))


@pytest.mark.parametrize('orientation', [3, 4])
def test_images_that_are_turned_while_their_masks_are_not(root, orientation):
    for path in (root / 'images' / 'training').iterdir():
        image, exif = Image.open(path), Image.Exif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)
    lines = [str(problem) for problem in segmentation_problems(run_config(root))]
    assert any('3 images are turned or mirrored by their EXIF' in line and 'masks are loaded as they are stored' in line
               for line in lines), lines
