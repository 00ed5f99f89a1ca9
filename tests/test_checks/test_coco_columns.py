"""An annotation file in columns, and what is said of entries that do not fit."""
import json
import sys

import numpy as np
import pytest

from lbbt_mm.checks.coco_columns import CocoFileError, check_ids, columns_of, parse, places, whole_numbers


def content(**changes) -> dict:
    images = [dict(id=7, file_name='a.jpg', height=48, width=64), dict(id=3, file_name='b.jpg', height=10.0, width=20)]
    annotations = [
        dict(id=1, image_id=3, category_id=2, bbox=[1, 2.5, 3, 4], area=12, iscrowd=0),
        dict(id=9, image_id=7, category_id=1, bbox=[0, 0, 1, 1], area=0.5, iscrowd=1, ignore=1),
        dict(id=4, image_id=7, category_id=1, bbox=[5, 5, 1, 1], area=1),
    ]
    return {**dict(images=images, annotations=annotations, categories=[]), **changes}


def test_columns():
    found = columns_of(content(), 'annotations')
    assert found.bbox.tolist() == [[1, 2.5, 3, 4], [0, 0, 1, 1], [5, 5, 1, 1]] and found.area.tolist() == [12, 0.5, 1]
    assert [column.tolist() for column in (found.id, found.image_id, found.category_id)] == [[1, 9, 4], [3, 7, 7], [2, 1, 1]]
    images = columns_of(content(), 'images')
    assert images.width.tolist() == [64, 20] and images.file_name == ['a.jpg', 'b.jpg']


def test_a_file_without_annotations_has_empty_columns():
    found = columns_of(content(annotations=[]), 'annotations')
    assert found.bbox.shape == (0, 4) and len(found.id) == 0


@pytest.mark.parametrize('box', [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, '4'], [1, 2, 3, None], 'abcd', 5, {}])
def test_boxes_of_other_lengths_do_not_make_up_for_each_other(box):
    bad = content()
    bad['annotations'][1]['bbox'] = box
    bad['annotations'][2]['bbox'] = [1, 2, 3, 4, 5] if box == [1, 2, 3] else [5, 5, 1, 1]
    with pytest.raises(CocoFileError, match='annotation 9 has bbox='):
        columns_of(bad, 'annotations')


@pytest.mark.parametrize('number', [1 << 70, 2.0, '2'])
def test_numbers_that_no_array_holds_stay_as_they_are(number):
    odd = content()
    odd['annotations'][0]['image_id'] = number
    assert list(columns_of(odd, 'annotations').image_id) == [number, 7, 7]


def test_crowds_are_asked_for_where_the_evaluation_needs_them():
    with pytest.raises(CocoFileError, match="1 of 3 annotations have no 'iscrowd'.*Add it .0 where there are no crowds"):
        columns_of(content(), 'annotations', also=('iscrowd', ))


@pytest.mark.parametrize('known', [[5, 2, 9], [5, 2, 1 << 40], [5, -2, 9]])
def test_places_of_numbers_in_a_list(known):
    wanted = [known[2], 4, known[0], -7, 1 << 50, known[1], known[1]]
    expected = [2, -1, 0, -1, -1, 1, 1]
    assert places(np.array(wanted), np.array(known)).tolist() == expected
    assert places(wanted, [*known]).tolist() == expected
    assert places(np.array(wanted), np.array([], int)).tolist() == [-1] * 7
    assert places(np.array([], int), np.array(known)).tolist() == []
    assert places([[1], {}, known[0]], np.array(known)).tolist() == [-1, -1, 0]


@pytest.mark.parametrize('ids', [[3, 1, 3], ['a', 'b', 'a']])
def test_a_number_that_comes_twice(ids):
    with pytest.raises(CocoFileError, match=f'1 of 3 images have the id of another, first {ids[0]!r}'):
        check_ids('images', whole_numbers(ids))
    check_ids('images', whole_numbers(ids[:2]))


def test_numbers_of_several_types():
    with pytest.raises(CocoFileError, match="images have an 'id' of type int, str. Expected whole numbers"):
        check_ids('images', whole_numbers([1, 'a']))


@pytest.mark.parametrize('quick', [True, False])
def test_json_is_read_with_and_without_orjson(quick, monkeypatch):
    if not quick:
        monkeypatch.setitem(sys.modules, 'orjson', None)
    assert parse(json.dumps(content()).encode()) == content()
    assert np.isnan(parse(b'{"a": NaN}')['a'])  # which Python's json writes and orjson refuses
    with pytest.raises(CocoFileError, match='is not JSON .*write it again'):
        parse(b'{"a": ')
    with pytest.raises(CocoFileError, match='is nested too deeply'):
        parse(b'[' * 100_000)
    with pytest.raises(CocoFileError, match='holds a list'):
        parse(b'[]')


@pytest.mark.parametrize('mask, message', [
    (None, "1 of 3 annotations have no 'segmentation'.*do without masks"), ([], r'annotation 9 has segmentation=\[\]')])
def test_masks_are_asked_for_where_they_are_used(mask, message):
    masked = content()
    for item in masked['annotations']:
        item['segmentation'] = [[1, 1, 2, 2, 3, 1]]
    columns_of(masked, 'annotations', also=['segmentation'])
    masked['annotations'][1].pop('segmentation')
    masked['annotations'][1].update({} if mask is None else dict(segmentation=mask))
    with pytest.raises(CocoFileError, match=message):
        columns_of(masked, 'annotations', also=['segmentation'])
