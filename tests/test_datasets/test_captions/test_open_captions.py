"""Image-caption data, whatever form it has: the same images, captions and order."""
import json

import pytest

from lbbt_mm.datasets.captions import open_captions, read_pairs

ROWS = [('cat.png', 'a cat'), ('below/dog.png', 'a dog'), ('cat.png', 'ein Kätzchen')]


def as_csv(folder):
    path = folder / 'captions.csv'
    path.write_text('id,image,caption\n' + ''.join(f'7,{image},"{caption}"\n' for image, caption in ROWS), encoding='utf-8')
    return path


def as_json_lines(folder):
    path = folder / 'captions.jsonl'
    path.write_text('\n'.join(json.dumps(dict(image=image, caption=caption, more=1)) for image, caption in ROWS))
    return path


def as_json_list(folder):
    path = folder / 'list.json'
    path.write_text(json.dumps([dict(image=image, caption=caption) for image, caption in ROWS]))
    return path


def coco(images=((5, 'cat.png'), (2, 'below/dog.png')), captions=((2, 'a dog'), (5, 'a cat'), (5, 'ein Kätzchen'))):
    return dict(info={}, images=[dict(id=number, file_name=name, height=4) for number, name in images],
                annotations=[dict(id=place, image_id=number, caption=text) for place, (number, text) in enumerate(captions)])


def as_coco(folder):
    path = folder / 'captions.json'
    path.write_text(json.dumps(coco()))
    return path


@pytest.mark.parametrize('write', [as_csv, as_json_lines, as_json_list, as_coco])
def test_every_form_gives_the_same(tmp_path, write):
    found = open_captions(write(tmp_path))
    assert found.keys == ['cat.png', 'below/dog.png'] and len(found) == 2
    assert found.captions == [['a cat', 'ein Kätzchen'], ['a dog']]
    assert found.pairs == [('cat.png', 'a cat'), ('cat.png', 'ein Kätzchen'), ('below/dog.png', 'a dog')]
    assert found.image(1) == tmp_path / 'below' / 'dog.png'


def test_images_may_be_in_another_folder(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'cat.png').write_bytes(b'cat')
    path = tmp_path / 'captions.csv'
    path.write_text('image,caption\ncat.png,a cat\n')
    found = open_captions(str(path), tmp_path / 'images')
    found.check_images()
    assert found.read(0) == b'cat'
    with pytest.raises(FileNotFoundError, match='captions.csv: the image .*cat.png is not there.*--images'):
        open_captions(path).check_images()


@pytest.mark.parametrize('name, text, says', [
    ('a.csv', 'image,caption\ncat.png, \n', 'row 1 has no caption'),
    ('a.jsonl', '{"image": "a.png", "caption": ["a", "b"]}', 'row 1 has no caption'),
    ('a.json', '[{"image": "a.png", "caption": "a"}, {"image": "b.png"}]', 'row 2 has no caption'),
    ('a.json', '[]', 'has no rows'),
    ('a.json', '{', 'cannot be read as JSON'),
    ('a.json', '[' * 100000, 'cannot be read as JSON'),
    ('a.json', '"text"', "has no list 'images'; expected captions in COCO's format"),
    ('a.json', json.dumps(dict(coco(), annotations=[])), "has no list 'annotations'"),
    ('a.json', json.dumps(coco(captions=[(2, 'a'), (5, ' ')])), "entry 1 of 'annotations' has no caption"),
    ('a.json', json.dumps(coco(captions=[(2, 'a'), (None, 'b')])), "entry 1 of 'annotations' has no image_id"),
    ('a.json', json.dumps(coco(images=[(5, 'a.png'), ([], 'b.png')])), "entry 1 of 'images' has no id"),
    ('a.json', json.dumps(coco(images=[(5, 'a.png'), (5, 'b.png')])), 'two images have one id'),
    ('a.json', json.dumps(coco(images=[(5, 'a.png'), (2, 'a.png')])), "the image 'a.png' is there twice"),
    ('a.json', json.dumps(coco(captions=[(5, 'a')])), "the image 'below/dog.png' has no caption"),
    ('a.json', json.dumps(coco(captions=[(5, 'a'), (2, 'b'), (9, 'c')])), 'a caption has the image_id 9, and no image'),
    ('a.tsv', 'image\tcaption', 'expected captions as .csv, .jsonl, .json or .tar')])
def test_what_is_no_caption_file(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=says) as error:
        open_captions(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name)) and '\n' not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    for name in ('no.csv', 'no.json', 'no.tar'):
        with pytest.raises(FileNotFoundError, match=f'{name}: no such'):
            open_captions(tmp_path / name)


def test_numbers_in_json_are_texts(tmp_path):
    (tmp_path / 'a.jsonl').write_text('{"image": "a.png", "caption": 1984}')
    assert read_pairs(tmp_path / 'a.jsonl') == [('a.png', '1984')]
