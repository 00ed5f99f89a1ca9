"""Captions in COCO's format, and what is no such file."""
import json

import pytest

from lbbt_mm.datasets.captions.coco_captions import read_json
from tests.tiny_captions import coco

IMAGES, CAPTIONS = [(5, 'a.png'), (2, 'b.png')], [(2, 'a dog'), (5, 'a cat')]


def read(tmp_path, found):
    path = tmp_path / 'a.json'
    path.write_bytes(found if isinstance(found, bytes) else json.dumps(found).encode())
    return read_json(path)


def test_images_keep_their_order_and_so_do_the_captions_of_each(tmp_path):
    found = read(tmp_path, coco([*IMAGES, ('x', ' c.png ')], [*CAPTIONS, ('x', ' one '), (5, 'zwei'), (5, 'zwei')]))
    assert found == [('a.png', 'a cat'), ('a.png', 'zwei'), ('a.png', 'zwei'), ('b.png', 'a dog'), ('c.png', 'one')]


def test_a_byte_order_mark_is_no_part_of_it(tmp_path):
    assert read(tmp_path, b'\xef\xbb\xbf[{"image": "a.png", "caption": "a"}]') == [('a.png', 'a')]


@pytest.mark.parametrize('found, says', [
    (coco(IMAGES, []), "has no list 'annotations'"), (coco([], CAPTIONS), "has no list 'images'"),
    (dict(images=3), "has no list 'images'"),
    (coco(IMAGES, [(2, 'a'), (5, ' ')]), "entry 1 of 'annotations' has no caption"),
    (coco(IMAGES, [(2, 'a'), (None, 'b')]), "entry 1 of 'annotations' has no image_id"),
    (coco([(5, 'a.png'), ([], 'b.png')], CAPTIONS), "entry 1 of 'images' has no id"),
    (coco([(5, 'a.png'), (2, None)], CAPTIONS), "entry 1 of 'images' has no file_name; expected id and file_name in each"),
    (dict(coco(IMAGES, CAPTIONS), images=['a.png']), "entry 0 of 'images' has no id"),
    (coco([(5, 'a.png'), (5, 'b.png')], CAPTIONS), 'two images have one id'),
    (coco([(5, 'a.png'), (2, ' a.png')], CAPTIONS), "the image 'a.png' is there twice"),
    (coco(IMAGES, [(5, 'a')]), "the image 'b.png' has no caption"),
    (coco(IMAGES, [*CAPTIONS, (9, 'c')]), 'a caption has the image_id 9, and no image'),
    (b'\xff', 'cannot be read as JSON')])
def test_what_is_no_such_file(tmp_path, found, says):
    with pytest.raises(ValueError, match=says):
        read(tmp_path, found)
