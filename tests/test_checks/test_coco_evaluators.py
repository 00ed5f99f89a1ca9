"""What is evaluated is what was meant: an evaluator's file is that of its data set, and all of its images are given."""
import json
import shutil
from copy import deepcopy
from pathlib import Path

import pytest

from tests.checked import check_coco_datasets, said
from tests.tiny_detection import each_box, edit_coco, run_config, write_dataset


def reorder(content):
    content['categories'].reverse()


def test_an_evaluator_that_was_forgotten_when_data_root_was_overridden(data):
    cfg = run_config(data)
    cfg.val_evaluator.ann_file = 'data/coco/annotations/instances_val2017.json'
    with pytest.raises(FileNotFoundError, match='val_evaluator.ann_file: data/coco/.* does not exist.*with data_root'):
        check_coco_datasets(cfg)


def test_an_evaluator_whose_file_numbers_labels_otherwise(data, tmp_path):
    cfg = run_config(data)
    content = json.loads(Path(cfg.val_evaluator.ann_file).read_text())
    reorder(content)
    (tmp_path / 'other.json').write_text(json.dumps(content))
    cfg.val_evaluator.ann_file = str(tmp_path / 'other.json')
    with pytest.raises(ValueError, match="val_evaluator.ann_file: .*other.json lists the categories 'blue', 'green', "
                       "'red', the data set's file 'red', 'green', 'blue'"):
        check_coco_datasets(cfg)


def test_indices_of_an_evaluated_set(data):
    cfg = run_config(data)
    cfg.test_dataloader.dataset.indices = 1
    with pytest.raises(ValueError, match='test_dataloader.dataset.indices: leaves 1 of the 2 images of '
                       'test_evaluator.ann_file, .*counts the others as missed. Remove indices'):
        check_coco_datasets(cfg, loaders=('test_dataloader', ))
    cfg.train_dataloader.dataset.indices = 1  # nothing is counted there
    check_coco_datasets(cfg)
    del cfg.test_evaluator['ann_file']  # then the evaluator takes the images it is given
    check_coco_datasets(cfg, loaders=('test_dataloader', ))


@pytest.mark.parametrize('wrap, wrapper', [
    (lambda dataset: dict(type='lbbt_mm.EvenSubset', num_samples=1, dataset=dataset), 'EvenSubset'),
    (lambda dataset: dict(type='RepeatDataset', times=2, dataset=dataset), 'RepeatDataset')])
def test_an_evaluated_set_in_a_wrapper(data, wrap, wrapper):
    cfg = run_config(data)
    cfg.val_dataloader.dataset = wrap(cfg.val_dataloader.dataset)
    with pytest.raises(ValueError, match=f'val_dataloader.dataset: {wrapper} gives other images than .*val2017.json'):
        check_coco_datasets(cfg)


def test_an_evaluator_with_the_file_of_another_split(data):
    cfg = run_config(data)
    cfg.val_evaluator.ann_file = str(data / 'annotations' / 'instances_train2017.json')
    with pytest.raises(ValueError, match='val_evaluator.ann_file: .*train2017.json lists [123] images that val_dataloader '
                       'does not give'):
        check_coco_datasets(cfg)


def test_a_copy_of_the_file_is_as_good(data, tmp_path):
    cfg = run_config(data)
    cfg.val_evaluator.ann_file = shutil.copy(cfg.val_evaluator.ann_file, tmp_path / 'copy.json')
    check_coco_datasets(cfg)


def test_images_that_a_filter_takes_from_an_evaluated_set(data):
    cfg = run_config(data)
    cfg.val_dataloader.dataset.update(test_mode=False, filter_cfg=dict(filter_empty_gt=True))
    edit_coco(data, lambda content: content['annotations'].__setitem__(
        slice(None), [item for item in content['annotations'] if item['image_id'] == content['images'][0]['id']]), 'val')
    with pytest.raises(ValueError, match='val_dataloader.dataset.filter_cfg: leaves 1 of the 2 images.*Set test_mode=True'):
        check_coco_datasets(cfg)


def test_a_missing_iscrowd_is_an_error_where_it_is_evaluated(data):
    """pycocotools asks for it when the training is over."""
    edit_coco(data, each_box(lambda item: item.pop('iscrowd', None)), 'train')
    check_coco_datasets(run_config(data))
    edit_coco(data, each_box(lambda item: item.pop('iscrowd', None), [0]), 'val')
    with pytest.raises(ValueError, match="val_evaluator.ann_file: .*1 of .* annotations have no 'iscrowd'.*0 where there "
                       'are no crowds.*evaluation fails'):
        check_coco_datasets(run_config(data))


def test_an_evaluator_of_another_split_whose_images_have_the_same_numbers(tmp_path):
    data = write_dataset(tmp_path / 'data', num_train=3, num_val=3)
    cfg = run_config(data)
    cfg.val_evaluator.ann_file = str(data / 'annotations' / 'instances_train2017.json')
    line, = said(cfg)
    assert line.startswith('val_evaluator.ann_file: ') and "has other boxes than the data set's file" in line
    edit_coco(data, lambda content: [image.update(file_name=f'other{image["id"]}.png') for image in content['images']])
    cfg.pop('train_dataloader')
    with pytest.raises(ValueError, match=r"calls the image 1 'other1.png', the file of val_dataloader '000.png': it is of "
                       'other images'):
        check_coco_datasets(cfg, loaders=('val_dataloader', ))


def test_images_that_are_given_twice(data):
    cfg = run_config(data)
    cfg.val_dataloader.dataset.indices = [0, 1, 1]
    with pytest.raises(ValueError, match='val_dataloader.dataset: gives 1 of its images more than once'):
        check_coco_datasets(cfg)
    cfg = run_config(write_dataset(data / 'again', num_train=2, num_val=2))
    own = deepcopy(cfg.val_dataloader.dataset)
    other = dict(deepcopy(cfg.train_dataloader.dataset), test_mode=True)
    cfg.val_dataloader.dataset = dict(type='ConcatDataset', datasets=[own, other])
    with pytest.raises(ValueError, match='val_dataloader.dataset: gives 2 of its images more than once, or several images'):
        check_coco_datasets(cfg)


def test_crowds_that_are_null(data):
    edit_coco(data, lambda content: [item.update(iscrowd=None) for item in content['annotations']], 'val')
    with pytest.raises(ValueError, match='annotation 1 has iscrowd=null. Expected 0 or 1'):
        check_coco_datasets(run_config(data))
