"""A data set that does not match its config is one error before a run starts, not an mAP of zero after it."""
import itertools
import json
import re
import shutil
from copy import deepcopy
from pathlib import Path

import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from PIL import Image

from lbbt_mm.checks import check_datasets
from lbbt_mm.checks.coco import coco_problems
from lbbt_mm.checks.coco_file import CocoFile
from lbbt_mm.checks import raise_fatal
from lbbt_mm.checks.datasets import is_remote
from tests.time_limit import time_limit
from tests.tiny_detection import run_config, write_dataset


def check_coco_datasets(cfg, **options) -> None:
    raise_fatal(coco_problems(cfg, **options))


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
    assert 'Correct data_root and ann_file' in str(error.value)


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
    with pytest.raises(FileNotFoundError, match=r'train_dataloader.dataset.dataset.datasets.1.ann_file: .*absent.json'):
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


# ------------------------------------------------------------------------------------ labels that mean another class
def reorder(content):
    content['categories'].reverse()


@pytest.mark.parametrize('split, evaluated', [('train', False), ('val', True)])
def test_categories_in_another_order_than_the_classes(data, split, evaluated):
    """mmdet numbers labels in the order of each file; mAP halves without a word."""
    edit(data, reorder, split)
    with pytest.raises(ValueError, match=f"{split}_dataloader.dataset: metainfo.classes has 'red' at place 1, but 'blue' "
                       "comes there in the categories of .* in that order: 'blue', 'green', 'red'"):
        check_coco_datasets(run_config(data))


def test_one_order_in_all_files_and_configs_is_fine_whichever_it_is(data):
    cfg = run_config(data)
    for split in ('train', 'val'):
        edit(data, reorder, split)
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


def test_an_evaluator_whose_file_numbers_labels_otherwise(data, tmp_path):
    cfg = run_config(data)
    content = json.loads(Path(cfg.val_evaluator.ann_file).read_text())
    reorder(content)
    (tmp_path / 'other.json').write_text(json.dumps(content))
    cfg.val_evaluator.ann_file = str(tmp_path / 'other.json')
    with pytest.raises(ValueError, match="val_evaluator.ann_file: .*other.json lists the categories 'blue', 'green', "
                       "'red', the data set's file 'red', 'green', 'blue'"):
        check_coco_datasets(cfg)


def test_two_categories_of_one_name(data):
    edit(data, lambda content: content['categories'].append(dict(id=9, name='red')))
    with pytest.raises(ValueError, match="has 'red' for two categories"):
        check_coco_datasets(run_config(data))


# ------------------------------------------------------------------------------------ what is evaluated
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
    edit(data, lambda content: content['annotations'].__setitem__(
        slice(None), [item for item in content['annotations'] if item['image_id'] == content['images'][0]['id']]), 'val')
    with pytest.raises(ValueError, match='val_dataloader.dataset.filter_cfg: leaves 1 of the 2 images.*Set test_mode=True'):
        check_coco_datasets(cfg)


# ------------------------------------------------------------------------------------ boxes that are not used
def annotations(change, only=None):
    """Edit all annotations, or those of the given places."""
    return lambda content: [change(item) for index, item in enumerate(content['annotations'])
                            if only is None or index in only]


def scale(content):
    sizes = {image['id']: (image['width'], image['height']) for image in content['images']}
    for item in content['annotations']:
        width, height = sizes[item['image_id']]
        x, y, w, h = item['bbox']
        item['bbox'] = [x / width, y / height, w / width, h / height]


@pytest.mark.parametrize('change, message', [
    (scale, r'no box can be used: all \d+ boxes have coordinates from 0 to 1, first in .*\.png \(annotation \d+\). '
             'Multiply'),
    (lambda content: content['annotations'].clear(), "no box can be used: its list 'annotations' is empty"),
    (annotations(lambda item: item.update(iscrowd=1)), 'no box can be used: all of them are crowds or ignored'),
    (annotations(lambda item: item.update(ignore=1)), 'no box can be used: all of them are crowds or ignored'),
    (annotations(lambda item: item.update(image_id=str(item['image_id']))),
     r"have an image_id that no image has.*Images' ids are whole numbers, annotations' image_ids strings: write them alike"),
    (annotations(lambda item: item.update(area=0)), 'no box can be used: all .* have no area'),
    (annotations(lambda item: item.update(bbox=[5, 5, -10, -10])), 'no box can be used: .* lie outside of their image'),
    (annotations(lambda item: item.update(bbox=[float('nan')] * 4)), 'no box can be used: .* bbox that is not a number'),
    (annotations(lambda item: item.update(bbox=[0, 0, float('inf'), 5]), [0]), r'1 of \d+ boxes have a bbox that is not '
                                                            'finite'),
    (annotations(lambda item: item.update(bbox=['1', '2', '3', '4']), [1]), r'annotation \d+ has bbox=\["1", "2".*four '
                                                'numbers'),
    (annotations(lambda item: item.update(bbox=[1, 2, 3]), [1]), 'annotation .* has bbox=.1, 2, 3.*Expected four numbers'),
    (annotations(lambda item: item.update(area=None), [1]), 'has area=null. Expected a number'),
    (annotations(lambda item: item.pop('bbox'), [0]), r"1 of \d+ annotations have no 'bbox', first {.*}. Add it"),
    (annotations(lambda item: item.pop('area')), r"all \d+ annotations have no 'area'.*width times height"),
    (annotations(lambda item: item.update(id=1)), r'annotations have the id of another, first 1. Number them anew'),
    (annotations(lambda item: item.update(category_id=[1])), "have category_id '.1.', which its"),
    (annotations(lambda item: item.update(image_id=[1])),
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
    path = edit(data, change, split)
    with pytest.raises(ValueError, match=message) as error:
        check_coco_datasets(run_config(data))
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_a_missing_iscrowd_is_an_error_where_it_is_evaluated(data):
    """pycocotools asks for it when the training is over."""
    edit(data, annotations(lambda item: item.pop('iscrowd', None)), 'train')
    check_coco_datasets(run_config(data))
    edit(data, annotations(lambda item: item.pop('iscrowd', None), [0]), 'val')
    with pytest.raises(ValueError, match="val_evaluator.ann_file: .*1 of .* annotations have no 'iscrowd'.*0 where there "
                       'are no crowds.*evaluation fails'):
        check_coco_datasets(run_config(data))


@pytest.mark.parametrize('change, message', [
    (annotations(lambda item: item.update(bbox=[0.1, 0.2, 0.3, 0.4]), [2]), r'1 of \d+ boxes have coordinates from 0 to 1, '
                                                                             'first in'),
    (annotations(lambda item: item.update(image_id=777), [0]), r'1 of \d+ boxes have an image_id that no image has, first '
                                                                'in '
     r'image_id 777 \(annotation 1\)'),
    (annotations(lambda item: item.update(bbox=[-90, 0, 20, 20]), [0, 1]), r'2 of \d+ boxes lie outside of their image'),
    (annotations(lambda item: item.update(bbox=[float('nan'), 1, 2, 3]), [0]), r'1 of \d+ boxes have a bbox that is not a '
                                                      'number'),
])
def test_some_that_cannot_be_used_are_counted_in_one_line(data, change, message, log):
    path = edit(data, change)
    check_coco_datasets(run_config(data))
    assert len([line for line in log if str(path) in line and re.search(message, line)]) == 1, log


def test_boxes_of_other_categories_are_counted(data, log):
    cfg = run_config(data, model__bbox_head__num_classes=2)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.metainfo = dict(classes=('red', 'green'))
    edit(data, annotations(lambda item: item.update(category_id=3), [0]))
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

    path = edit(data, change)
    file = CocoFile(path)
    dataset = DATASETS.build(dict(run_config(data).train_dataloader.dataset, pipeline=[], filter_cfg=None))
    kept = [sum(len(dataset.get_data_info(index)['instances']) for index in range(len(dataset)))]
    assert kept == [int(file.boxes.used.sum())] and 0 < kept[0] < len(file.annotations.id)


# ------------------------------------------------------------------------------------ images
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
    edit(data, lambda content: content['images'].pop())
    assert len(DATASETS.build(dict(cfg.train_dataloader.dataset, filter_cfg=None))) == 2


# ------------------------------------------------------------------------------------ other instances
def said(cfg, **options) -> list:
    return [str(problem) for problem in coco_problems(cfg, **options)]


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


def test_an_evaluator_of_another_split_whose_images_have_the_same_numbers(tmp_path):
    data = write_dataset(tmp_path / 'data', num_train=3, num_val=3)
    cfg = run_config(data)
    cfg.val_evaluator.ann_file = str(data / 'annotations' / 'instances_train2017.json')
    line, = said(cfg)
    assert line.startswith('val_evaluator.ann_file: ') and "has other boxes than the data set's file" in line
    edit(data, lambda content: [image.update(file_name=f'other{image["id"]}.png') for image in content['images']])
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
    edit(data, lambda content: [item.update(iscrowd=None) for item in content['annotations']], 'val')
    with pytest.raises(ValueError, match='annotation 1 has iscrowd=null. Expected 0 or 1'):
        check_coco_datasets(run_config(data))


@pytest.mark.parametrize('split', ['train', 'val'])
def test_boxes_as_two_corners(data, split):
    edit(data, lambda content: [item.update(bbox=[40, 30, 40 + item['bbox'][2], 30 + item['bbox'][3]])
                                for item in content['annotations']], split)
    assert any('boxes reach beyond their image by a tenth' in line and 'not two corners' in line
               for line in said(run_config(data)))
    assert not said(run_config(write_dataset(data / 'sound')))


@pytest.mark.parametrize('orientation', [2, 3, 4])
def test_images_that_are_turned_or_mirrored_at_the_same_size(data, orientation):
    for path in (data / 'train2017').iterdir():
        image, exif = Image.open(path), Image.Exif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)
    line, = said(run_config(data))
    assert 'all 3 images are turned or mirrored by their EXIF orientation when they are loaded, first' in line
