"""A data set that does not match its config is one error before a run starts, not an mAP of zero after it."""
import json
import shutil
from copy import deepcopy
from pathlib import Path

import pytest
from mmengine.config import Config

from lbbt_mm.engine.dataset_checks import check_coco_datasets, is_remote
from tests.time_limit import time_limit
from tests.tiny_detection import run_config, write_dataset


@pytest.fixture
def data(tmp_path) -> Path:
    return write_dataset(tmp_path / 'data', num_train=3, num_val=2)


def edit(data: Path, change, split: str = 'train') -> Path:
    """Rewrite an annotation file."""
    path = data / 'annotations' / f'instances_{split}2017.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


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
    assert 'correct data_root and ann_file' in str(error.value)


def test_an_absent_image_folder(data):
    shutil.rmtree(data / 'val2017')
    with pytest.raises(FileNotFoundError, match='val_dataloader.dataset.data_prefix.img: .*val2017 is not a folder.*'
                       'instances_val2017.json lists; correct data_root or data_prefix'):
        check_coco_datasets(run_config(data))


def test_an_evaluator_that_was_forgotten_when_data_root_was_overridden(data):
    cfg = run_config(data)
    cfg.val_evaluator.ann_file = 'data/coco/annotations/instances_val2017.json'
    with pytest.raises(FileNotFoundError, match='val_evaluator.ann_file: data/coco/.* does not exist.*with data_root'):
        check_coco_datasets(cfg)


def test_training_does_not_ask_for_the_test_set(data):
    cfg = run_config(data)
    cfg.test_dataloader.dataset.ann_file = cfg.test_evaluator.ann_file = 'annotations/image_info_test-dev2017.json'
    check_coco_datasets(cfg)
    with pytest.raises(FileNotFoundError, match='test_dataloader.dataset.ann_file'):
        check_coco_datasets(cfg, loaders=('test_dataloader', ))


def test_category_names_that_do_not_match(data):
    edit(data, lambda content: content['categories'][0].update(name='crimson'))
    with pytest.raises(ValueError) as error:
        check_coco_datasets(run_config(data))
    message = str(error.value)
    assert "classes 'red' are not among the categories" in message and "'blue', 'crimson', 'green'" in message
    assert 'metainfo=dict(classes=...)' in message and 'num_classes' in message


def test_coco_s_own_classes_on_another_data_set(data):
    """What a config gets that does not write ``metainfo``: mmdet would find no box at all."""
    cfg = run_config(data)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        del loader.dataset['metainfo']
    with pytest.raises(ValueError, match=r"classes 'person', .* and 75 more are not among the categories"):
        check_coco_datasets(cfg)


def test_category_ids_that_do_not_match(data):
    edit(data, lambda content: [item.update(category_id=item['category_id'] + 90) for item in content['annotations']], 'val')
    with pytest.raises(ValueError, match='val_dataloader.*have category_id 9.*do not list.*1, 2, 3.*mmdet would drop'):
        check_coco_datasets(run_config(data))


def test_categories_are_found_wherever_and_however_they_are_written(data):
    """COCO's files put them last, others first; keypoint categories hold lists of their own."""
    path = data / 'annotations' / 'instances_train2017.json'
    content = json.loads(path.read_text())
    for category in content['categories']:
        category.update(keypoints=['nose', 'left_eye'], skeleton=[[1, 2], [2, 1]])
    reordered = {key: content[key] for key in ('categories', 'images', 'annotations')}
    for text in (json.dumps(reordered), json.dumps(reordered, indent=2), json.dumps(content, separators=(',', ':'))):
        path.write_text(text)
        check_coco_datasets(run_config(data))


def test_categories_may_be_many(data):
    edit(data, lambda content: content['categories'].extend(
        dict(id=number, name=f'klasse {number} ' + 'ö' * 80) for number in range(100, 4000)))
    check_coco_datasets(run_config(data))


def test_categories_that_never_end_do_not_take_for_ever(data):
    """Two million brackets follow, each of which might be their end."""
    path = data / 'annotations' / 'instances_train2017.json'
    path.write_text('{"categories": [{"id": 1, "name": "a"}, }], "annotations": [' + '[],' * 2_000_000 + '[]]}')
    with time_limit(20), pytest.raises(ValueError, match="instances_train2017.json has no 'categories' list"):
        check_coco_datasets(run_config(data))


@pytest.mark.parametrize('text', ['', '{}', '[]', '{"images": [], "annotations": [', '{"categories": [{"id": 1, "na',
                                  '{"categories": [1, 2]}', '{"categories": [{"id": 1}]}', '{"categories": {"a": [1]}}'])
def test_a_file_that_is_not_coco(data, text):
    (data / 'annotations' / 'instances_train2017.json').write_text(text)
    with pytest.raises(ValueError, match="instances_train2017.json has no 'categories' list"):
        check_coco_datasets(run_config(data))


@pytest.mark.parametrize('num_classes', [2, 80])
def test_num_classes_that_contradicts(data, num_classes):
    with pytest.raises(ValueError, match=f'num_classes={num_classes}, but train_dataloader.dataset has 3 classes. '
                       'Set model.bbox_head.num_classes=3'):
        check_coco_datasets(run_config(data, model__bbox_head__num_classes=num_classes))


def test_data_sets_inside_wrappers_are_checked(data):
    cfg = run_config(data)
    inner = cfg.train_dataloader.dataset
    broken = deepcopy(inner)
    broken.ann_file = 'annotations/absent.json'
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[inner, broken]))
    with pytest.raises(FileNotFoundError, match=r'train_dataloader.dataset.dataset.datasets\[1\].ann_file: .*absent.json'):
        check_coco_datasets(cfg)


@pytest.mark.parametrize('config, remote', [
    (dict(data_root='s3://bucket/data'), True), (dict(ann_file='https://host/a.json', data_root='data'), True),
    (dict(data_prefix=dict(img='gs://bucket/images')), True), (dict(data_prefix='s3://bucket/'), True),
    (dict(data_root='data', backend_args=dict(backend='petrel', path_mapping={})), True),
    (dict(data_root='data', backend_args=dict(backend='local')), False), (dict(data_root='data', backend_args=None), False),
    (dict(data_root='/data', ann_file='a.json', data_prefix=dict(img='images/')), False), (dict(), False)])
def test_files_are_remote_by_their_address_or_their_backend(config, remote):
    assert is_remote(config) is remote


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
