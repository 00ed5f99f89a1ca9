"""Annotations that would not be used are counted, as mmdet's data set would read them."""
import itertools
import json
import re

import pytest
from mmdet.registry import DATASETS

from lbbt_mm.checks import check_datasets
from lbbt_mm.checks.coco_file import CocoFile
from tests.time_limit import time_limit
from tests.checked import check_coco_datasets, said
from tests.tiny_detection import each_box, edit_coco, run_config, write_dataset


def scale(content):
    sizes = {image['id']: (image['width'], image['height']) for image in content['images']}
    for item in content['annotations']:
        width, height = sizes[item['image_id']]
        x, y, w, h = item['bbox']
        item['bbox'] = [x / width, y / height, w / width, h / height]


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
    edit_coco(data, lambda content: content['categories'].extend(
        dict(id=number, name=f'klasse {number} ' + 'ö' * 80) for number in range(100, 4000)))
    check_coco_datasets(run_config(data))


@pytest.mark.parametrize('text, found', [
    ('', 'is not JSON (Expecting value: line 1'), ('{"images": [], "annotations": [', 'is not JSON'),
    ('{"categories": [{"id": 1, "na', 'is not JSON'), ('\xff\xfe', 'is not JSON'), ('[' * 100_000, 'is nested too deeply'),
    ('[]', 'holds a list. Expected a COCO annotation file'), ('3', 'holds a int'), ('{}', "has no 'images' list"),
    ('{"images": [], "annotations": []}', "has no 'categories' list"),
    ('{"images": [], "categories": []}', "has no 'annotations' list"),
    ('{"images": {"a": [1]}}', "has no 'images' list"), ('{"images": [1, 2]}', 'images[0] is 1. Expected an object with id'),
    ('{"images": [], "categories": [{"id": 1}]}', "all 1 categories have no 'name', first {\"id\": 1}. Add it"),
])
def test_a_file_that_is_not_coco(data, text, found):
    path = data / 'annotations' / 'instances_train2017.json'
    path.write_bytes(text.encode('latin1'))
    with time_limit(20), pytest.raises(ValueError) as error:
        check_coco_datasets(run_config(data))
    message = str(error.value)
    assert message.startswith(f'train_dataloader.dataset.ann_file: {path} {found}') and '\n' not in message


@pytest.mark.parametrize('change, message', [
    (scale, r'no box can be used: all \d+ boxes have coordinates from 0 to 1, first in .*\.png \(annotation \d+\). '
             'Multiply'),
    (lambda content: content['annotations'].clear(), "no box can be used: its list 'annotations' is empty"),
    (each_box(lambda item: item.update(iscrowd=1)), 'no box can be used: all of them are crowds or ignored'),
    (each_box(lambda item: item.update(ignore=1)), 'no box can be used: all of them are crowds or ignored'),
    (each_box(lambda item: item.update(image_id=str(item['image_id']))),
     r"have an image_id that no image has.*Images' ids are whole numbers, annotations' image_ids strings: write them alike"),
    (each_box(lambda item: item.update(area=0)), 'no box can be used: all .* have no area'),
    (each_box(lambda item: item.update(bbox=[5, 5, -10, -10])), 'no box can be used: .* lie outside of their image'),
    (each_box(lambda item: item.update(bbox=[float('nan')] * 4)), 'no box can be used: .* bbox that is not a number'),
    (each_box(lambda item: item.update(bbox=[0, 0, float('inf'), 5]), [0]), r'1 of \d+ boxes have a bbox that is not '
                                                            'finite'),
    (each_box(lambda item: item.update(bbox=['1', '2', '3', '4']), [1]), r'annotation \d+ has bbox=\["1", "2".*four '
                                                'numbers'),
    (each_box(lambda item: item.update(bbox=[1, 2, 3]), [1]), 'annotation .* has bbox=.1, 2, 3.*Expected four numbers'),
    (each_box(lambda item: item.update(area=None), [1]), 'has area=null. Expected a number'),
    (each_box(lambda item: item.pop('bbox'), [0]), r"1 of \d+ annotations have no 'bbox', first {.*}. Add it"),
    (each_box(lambda item: item.pop('area')), r"all \d+ annotations have no 'area'.*width times height"),
    (each_box(lambda item: item.update(id=1)), r'annotations have the id of another, first 1. Number them anew'),
    (each_box(lambda item: item.update(category_id=[1])), "have category_id '.1.', which its"),
    (each_box(lambda item: item.update(image_id=[1])),
     "Images' ids are whole numbers, annotations' image_ids lists: write them alike"),
    (lambda content: content['images'][0].pop('height'), r"1 of \d images have no 'height'"),
    (lambda content: content['images'][0].update(width='48'), 'has width="48". Expected a number of pixels'),
    (lambda content: content['images'][0].update(width=0), 'has width=0. Expected a number of pixels'),
    (lambda content: content['images'][0].update(id=None), "images have an 'id' of type NoneType, int"),
    (lambda content: content['images'][1].update(id=content['images'][0]['id']), 'images have the id of another'),
    (lambda content: content['categories'][0].update(name=3), 'has name=3. Expected a name'),
])
@pytest.mark.parametrize('split', ('train', 'val'))
def test_annotations_that_cannot_be_used(data, change, message, split):
    path = edit_coco(data, change, split)
    with pytest.raises(ValueError, match=message) as error:
        check_coco_datasets(run_config(data))
    assert str(path) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('change, message', [
    (each_box(lambda item: item.update(bbox=[0.1, 0.2, 0.3, 0.4]), [2]), r'1 of \d+ boxes have coordinates from 0 to 1, '
                                                                             'first in'),
    (each_box(lambda item: item.update(image_id=777), [0]), r'1 of \d+ boxes have an image_id that no image has, first '
                                                                'in '
     r'image_id 777 \(annotation 1\)'),
    (each_box(lambda item: item.update(bbox=[-90, 0, 20, 20]), [0, 1]), r'2 of \d+ boxes lie outside of their image'),
    (each_box(lambda item: item.update(bbox=[float('nan'), 1, 2, 3]), [0]), r'1 of \d+ boxes have a bbox that is not a '
                                                      'number'),
])
def test_some_that_cannot_be_used_are_counted_in_one_line(data, change, message, log):
    path = edit_coco(data, change)
    check_coco_datasets(run_config(data))
    assert len([line for line in log if str(path) in line and re.search(message, line)]) == 1, log


def test_boxes_of_other_categories_are_counted(data, log):
    cfg = run_config(data, model__bbox_head__num_classes=2)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.metainfo = dict(classes=('red', 'green'))
    edit_coco(data, each_box(lambda item: item.update(category_id=3), [0]))
    check_coco_datasets(cfg)
    assert any(re.search(r'boxes have a category that is not among the classes, first in .*annotation 1', line)
               for line in log)


def test_what_counts_is_what_mmdet_makes_of_the_file(data):
    """The columns' rule is a copy of CocoDataset.parse_data_info's, which is asked here for boxes at every edge."""
    edges = [[0, 0, 1, 1], [0, 0, 0.99, 5], [-5, -5, 5, 5], [-5, -5, 6, 6], [47, 10, 30, 5], [48, 10, 3, 5], [64, 48, 1, 1],
             [63.5, 47.5, 2, 2], [3, 3, 0, 0], [3, 3, -1, 4], [1e9, 0, 1e9, 5], [0.2, 0.2, 0.5, 0.5]]

    def change(content):
        first = content['annotations'][0]
        content['annotations'] = [{**first, 'id': index + 1, 'bbox': box, 'area': area, 'iscrowd': crowd, 'ignore': ignore}
                                  for index, (box, area, crowd, ignore) in enumerate(
                                      itertools.product(edges, (0, 4), (0, 1), (0, 1)))]

    path = edit_coco(data, change)
    file = CocoFile(path)
    dataset = DATASETS.build(dict(run_config(data).train_dataloader.dataset, pipeline=[], filter_cfg=None))
    kept = [sum(len(dataset.get_data_info(index)['instances']) for index in range(len(dataset)))]
    assert kept == [int(file.used.sum())] and 0 < kept[0] < len(file.annotations.id)


def test_the_file_is_parsed_once(data, monkeypatch):
    """The data set takes over what the check has parsed, if the file has not changed since."""
    cfg = run_config(data)
    parsed = []
    monkeypatch.setattr(json, 'load', lambda file, **options: parsed.append(file.name) or json.loads(file.read()))
    check_datasets(cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert not parsed and len(dataset) == 3
    DATASETS.build(cfg.train_dataloader.dataset)
    assert len(parsed) == 1, 'what was taken is gone'
    check_datasets(cfg)
    edit_coco(data, lambda content: content['images'].pop())
    assert len(DATASETS.build(dict(cfg.train_dataloader.dataset, filter_cfg=None))) == 2


@pytest.mark.parametrize('split', ['train', 'val'])
def test_boxes_as_two_corners(data, split):
    edit_coco(data, lambda content: [item.update(bbox=[40, 30, 40 + item['bbox'][2], 30 + item['bbox'][3]])
                                for item in content['annotations']], split)
    assert any('boxes reach beyond their image by a tenth' in line and 'not two corners' in line
               for line in said(run_config(data)))
    assert not said(run_config(write_dataset(data / 'sound')))
