"""Checks of segmentation datasets: one clear error each, before a run starts."""
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from lbbt_mm.checks.segmentation import segmentation_problems
from tests.checked import check, check_segmentation, said, training_alone
from tests.tiny_segmentation import mask_of, rewrite_mask, run_config

TRAIN = 'train_dataloader.dataset'


@pytest.mark.parametrize('options', [dict(data_root='s3://bucket/data'), dict(backend_args=dict(backend='petrel'))])
def test_remote_data_sets_are_passed_over(root, log, options):
    cfg = run_config(root)
    cfg.train_dataloader.dataset.update(options)
    check_segmentation(cfg, ('train_dataloader', ))
    assert not any('masks' in line for line in log)


def test_files_outside_the_chosen_indices_are_nobody_s_business(root):
    mask_of(root, 2).unlink()
    check(root, train_dataloader__dataset__indices=2)
    check(root, train_dataloader__dataset__indices=[0, 1])
    with pytest.raises(ValueError, match='all 1 masks'):
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


def test_images_without_masks(root):
    mask_of(root).unlink()
    with pytest.raises(ValueError, match=rf'{TRAIN}: 1 of 3 masks are missing, first .*001.png. '
                       'Expected a mask for each image'):
        check(root)


def test_images_that_are_listed_and_absent(root):
    (root / 'train.txt').write_text('000\nnowhere\n')
    with pytest.raises(ValueError, match=f'{TRAIN}: 1 of 2 images are not there, first .*nowhere.jpg'):
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
    with pytest.raises(ValueError, match=rf"model.{head}.num_classes=7, but {TRAIN} has 4 classes \('ground', "):
        check(root, **overrides)


@pytest.mark.parametrize('head, allowed', ((dict(num_classes=1), 2), (dict(num_classes=2, out_channels=1), 2)))
def test_one_channel_is_for_two_classes(root, head, allowed):
    check(root, model__auxiliary_head=None)
    with pytest.raises(ValueError, match=rf"model.auxiliary_head.num_classes={head['num_classes']}, but .* has 4 classes"):
        check(root, model__auxiliary_head=dict(type='FCNHead', **head))
    for number in range(3):
        rewrite_mask(root, lambda mask: np.minimum(mask, 2), number)
    cfg = training_alone(root, model__auxiliary_head=dict(type='FCNHead', **head), model__decode_head__num_classes=allowed)
    cfg.train_dataloader.dataset.metainfo = dict(classes=('ground', 'thing'))
    check_segmentation(cfg, ('train_dataloader', ))


def test_classes_of_a_known_data_set_are_its_own(root):
    cfg = run_config(root)
    cfg.train_dataloader.dataset.update(type='ADE20KDataset', metainfo=None)
    with pytest.raises(ValueError, match='num_classes=4, but .* has 150 classes'):
        check_segmentation(cfg, ('train_dataloader', ))


def test_wrappers_and_concatenations_are_looked_into(root):
    mask_of(root).unlink()
    cfg = run_config(root)
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=inner)])
    with pytest.raises(ValueError, match=r'train_dataloader.dataset.datasets.0.dataset: 1 of 3 masks'):
        check_segmentation(cfg)


def test_data_sets_of_other_codebases_are_passed_over(root):
    cfg = run_config('nowhere')
    cfg.default_scope = 'mmpretrain'
    check_segmentation(cfg)


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


def test_an_evaluator_that_ignores_another_label_is_named(root, log):
    cfg = run_config(root)
    cfg.val_evaluator.ignore_index = 0
    check_segmentation(cfg)
    assert any(line.startswith('val_evaluator: ignores the label 0, the head 255') for line in log)


@pytest.mark.parametrize('orientation', [3, 4])
def test_images_that_are_turned_while_their_masks_are_not(root, orientation):
    for path in (root / 'images' / 'training').iterdir():
        image, exif = Image.open(path), Image.Exif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)
    lines = said(run_config(root), of=segmentation_problems)
    assert any('3 images are turned or mirrored by their EXIF' in line and 'masks are loaded as they are stored' in line
               for line in lines), lines
