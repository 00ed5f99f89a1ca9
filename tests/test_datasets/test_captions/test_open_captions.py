"""Image-caption data, whatever form it has: the same images, captions and order."""
import json

import pytest

from lbbt_mm.datasets.captions import open_captions
from tests.tiny_captions import coco

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


def as_coco(folder):
    path = folder / 'captions.json'
    path.write_text(json.dumps(coco([(5, 'cat.png'), (2, 'below/dog.png')],
                                    [(2, 'a dog'), (5, 'a cat'), (5, 'ein Kätzchen')])))
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
