"""A data set that does not match its config is one error before a run starts, not an mAP of zero after it."""
import json
import re
import shutil
from copy import deepcopy

import pytest
from mmengine.config import Config
from PIL import Image

from tests.checked import check_coco_datasets, said
from tests.tiny_detection import each_box, edit_coco, run_config


def test_a_data_set_that_matches_passes(data):
    check_coco_datasets(run_config(data))
    check_coco_datasets(run_config(data), loaders=('test_dataloader', ))


@pytest.mark.parametrize('split', ['train', 'val'])
def test_an_absent_annotation_file(data, split):
    path = data / 'annotations' / f'instances_{split}2017.json'
    path.unlink()
    with pytest.raises(FileNotFoundError) as error:
        check_coco_datasets(run_config(data))
    assert str(error.value).startswith(f'{split}_dataloader.dataset.ann_file: {path} does not exist. Expected a COCO')
    assert 'Correct data_root and ann_file' in str(error.value)


def test_an_absent_image_folder(data):
    shutil.rmtree(data / 'val2017')
    with pytest.raises(FileNotFoundError, match='val_dataloader.dataset.data_prefix.img: .*val2017 is not a folder.*'
                       'instances_val2017.json lists. Correct data_root and data_prefix'):
        check_coco_datasets(run_config(data))


def test_training_does_not_ask_for_the_test_set(data):
    cfg = run_config(data)
    cfg.test_dataloader.dataset.ann_file = cfg.test_evaluator.ann_file = 'annotations/image_info_test-dev2017.json'
    check_coco_datasets(cfg)
    with pytest.raises(FileNotFoundError, match='test_dataloader.dataset.ann_file'):
        check_coco_datasets(cfg, loaders=('test_dataloader', ))


def test_category_names_that_do_not_match(data):
    edit_coco(data, lambda content: content['categories'][0].update(name='crimson'))
    with pytest.raises(ValueError) as error:
        check_coco_datasets(run_config(data))
    message = str(error.value)
    assert "lacks the classes 'red' among its categories" in message and "'blue', 'crimson', 'green'" in message
    assert 'metainfo=dict(classes=...)' in message and 'num_classes' in message


def test_coco_s_own_classes_on_another_data_set(data):
    """What a config gets that does not write ``metainfo``: mmdet would find no box at all."""
    cfg = run_config(data)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        del loader.dataset['metainfo']
    with pytest.raises(ValueError, match=r"classes 'person', .* and 75 more among its categories"):
        check_coco_datasets(cfg)


def test_category_ids_that_do_not_match(data):
    edit_coco(data, each_box(lambda item: item.update(category_id=item['category_id'] + 90)), 'val')
    with pytest.raises(ValueError, match='val_dataloader.*have category_id 9.*do not list.*1, 2, 3.*mmdet would drop'):
        check_coco_datasets(run_config(data))


@pytest.mark.parametrize('num_classes', [2, 80])
def test_num_classes_that_contradicts(data, num_classes):
    with pytest.raises(ValueError, match=f'num_classes={num_classes}, but train_dataloader.dataset has 3 classes .*. '
                       'Set model.bbox_head.num_classes=3'):
        check_coco_datasets(run_config(data, model__bbox_head__num_classes=num_classes))


def test_data_sets_inside_wrappers_are_checked(data):
    cfg = run_config(data)
    inner = cfg.train_dataloader.dataset
    broken = deepcopy(inner)
    broken.ann_file = 'annotations/absent.json'
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[inner, broken]))
    with pytest.raises(FileNotFoundError, match=r'train_dataloader.dataset.dataset.datasets.1.ann_file: .*absent.json'):
        check_coco_datasets(cfg)


@pytest.mark.parametrize('options', [dict(data_prefix=dict(img='s3://bucket/images')),
                                     dict(backend_args=dict(backend='petrel'))])
def test_a_data_set_that_is_remote_in_part_is_passed_over(data, options):
    cfg = run_config(data)
    cfg.train_dataloader.dataset.ann_file = 'annotations/absent.json'
    with pytest.raises(FileNotFoundError):
        check_coco_datasets(cfg)
    cfg.train_dataloader.dataset.update(options)
    check_coco_datasets(cfg)


def test_other_and_remote_data_sets_are_passed_over(data):
    cfg = run_config('s3://bucket/coco')
    check_coco_datasets(cfg)
    cfg = run_config('nowhere')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.type = 'LVISV1Dataset'
    cfg.val_evaluator.type = 'LVISMetric'
    check_coco_datasets(cfg)
    classification = dict(model=dict(type='ImageClassifier'), train_dataloader=dict(dataset=dict(type='CIFAR10')))
    check_coco_datasets(Config(classification))


def reorder(content):
    content['categories'].reverse()


@pytest.mark.parametrize('split, evaluated', [('train', False), ('val', True)])
def test_categories_in_another_order_than_the_classes(data, split, evaluated):
    """mmdet numbers labels in the order of each file; mAP halves without a word."""
    edit_coco(data, reorder, split)
    with pytest.raises(ValueError, match=f"{split}_dataloader.dataset.ann_file: .* has the category 'blue' at place 1, "
                       "where metainfo.classes has 'red'.* in that order: 'blue', 'green', 'red'"):
        check_coco_datasets(run_config(data))


def test_one_order_in_all_files_and_configs_is_fine_whichever_it_is(data):
    cfg = run_config(data)
    for split in ('train', 'val'):
        edit_coco(data, reorder, split)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.metainfo = dict(classes=('blue', 'green', 'red'))
    check_coco_datasets(cfg)


def test_data_sets_with_other_classes_of_the_same_number(data):
    cfg = run_config(data, model__bbox_head__num_classes=2)
    cfg.train_dataloader.dataset.metainfo = dict(classes=('red', 'green'))
    cfg.val_dataloader.dataset.metainfo = dict(classes=('green', 'blue'))
    with pytest.raises(ValueError, match=r"val_dataloader.dataset: metainfo.classes is 'green', 'blue', that of "
                       "train_dataloader.dataset 'red', 'green'"):
        check_coco_datasets(cfg)


def test_the_test_set_s_classes_are_compared_before_training(data, log):
    """It is not used there, and many configs inherit one that they do not use."""
    cfg = run_config(data)
    cfg.test_dataloader.dataset.metainfo = dict(classes=('green', 'red', 'blue'))
    cfg.test_dataloader.dataset.ann_file = 'absent.json'
    check_coco_datasets(cfg)
    assert any(line.startswith("test_dataloader.dataset: metainfo.classes is 'green', 'red', 'blue'") for line in log)


def test_two_categories_of_one_name(data):
    edit_coco(data, lambda content: content['categories'].append(dict(id=9, name='red')))
    with pytest.raises(ValueError, match="has 'red' for two categories"):
        check_coco_datasets(run_config(data))


@pytest.fixture
def images(data):
    content = json.loads((data / 'annotations' / 'instances_train2017.json').read_text())
    return [data / 'train2017' / image['file_name'] for image in content['images']]


@pytest.mark.parametrize('damage, message', [
    (lambda path: path.unlink(), r'1 of 3 images are not there, first {}\. Add them'),
    (lambda path: path.write_bytes(b''), r'1 of 3 images are empty, first {}\. Replace them'),
    (lambda path: path.write_bytes(b'no image'), r'1 of 3 images cannot be decoded to their end, first {}'),
    (lambda path: path.write_bytes(path.read_bytes()[:-200]), r'1 of 3 images cannot be decoded to their end, first {}'),
])
def test_images_that_cannot_be_loaded(data, images, damage, message):
    damage(images[1])
    with pytest.raises(ValueError, match='train_dataloader.dataset.ann_file: ' + message.format(re.escape(str(images[1])))):
        check_coco_datasets(run_config(data))


def test_images_that_the_pipeline_passes_over_are_counted(data, images, log):
    cfg = run_config(data)
    images[1].write_bytes(b'')
    cfg.train_dataloader.dataset.pipeline[0].ignore_empty = True
    check_coco_datasets(cfg)
    assert any(f'1 of 3 images are empty, first {images[1]}' in line for line in log)
    for path in images:
        path.write_bytes(b'')
    with pytest.raises(ValueError, match='all 3 images are empty'):
        check_coco_datasets(cfg)


def rotate(path, orientation=6):
    """Store an image turned, with the tag that turns it back: it is loaded as wide as it was high."""
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


def test_images_that_exif_turns(data, images, log):
    rotate(images[0])
    rotate(images[1], orientation=3)  # upside down: the size is the same
    check_coco_datasets(run_config(data))
    assert any(f'1 of 3 images are turned by their EXIF orientation when they are loaded, or lie otherwise than the '
               f'annotations say, first {images[0]}: ' in line for line in log)
    cfg = run_config(data)
    cfg.train_dataloader.dataset.pipeline[0].color_type = 'unchanged'
    log.clear()
    check_coco_datasets(cfg)
    assert not any('EXIF' in line for line in log)


def test_images_of_another_size(data, images):
    for path in images:
        Image.open(path).resize((20, 10)).save(path)
    with pytest.raises(ValueError, match='all 3 images are of another size than the annotations say, first .*: 20x10 '
                       'pixels, annotations .*Correct'):
        check_coco_datasets(run_config(data))


def test_more_boxes_than_queries(data, log):
    check_coco_datasets(run_config(data, model__num_queries=1))
    assert any(re.search(r'images have more boxes than model.num_queries=1, first .*\.png with \d', line) for line in log)


def test_images_below_the_filter_s_size(data, log):
    cfg = run_config(data)
    cfg.train_dataloader.dataset.filter_cfg = dict(min_size=1000)
    with pytest.raises(ValueError, match='filter_cfg: all 3 images are smaller than min_size=1000 and are left out, first'):
        check_coco_datasets(cfg)


@pytest.mark.parametrize('place, key', [
    ('roi_head.bbox_head', 'num_classes'), ('roi_head.mask_head', 'num_classes'), ('query_head', 'num_classes'),
    ('panoptic_head', 'num_things_classes')])
def test_heads_of_other_detectors(data, place, key):
    cfg = run_config(data)
    cfg.merge_from_dict({f'model.{place}': {key: 80}})
    assert any(line.startswith(f'model.{place}.{key}=80, but train_dataloader.dataset has 3 classes') for line in said(cfg))
    cfg.merge_from_dict({f'model.{place}': {key: 80, 'class_agnostic': True}})
    assert not said(cfg)


def test_each_of_several_heads_of_a_cascade(data):
    cfg = run_config(data)
    cfg.model.roi_head = dict(bbox_head=[dict(num_classes=3), dict(num_classes=80)])
    assert any(line.startswith('model.roi_head.bbox_head.1.num_classes=80') for line in said(cfg))


@pytest.mark.parametrize('orientation', [2, 3, 4])
def test_images_that_are_turned_or_mirrored_at_the_same_size(data, orientation):
    for path in (data / 'train2017').iterdir():
        image, exif = Image.open(path), Image.Exif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)
    line, = said(run_config(data))
    assert 'all 3 images are turned or mirrored by their EXIF orientation when they are loaded, first' in line
