"""Rows of an image and a caption, and of a pair test: two images and two captions."""
import csv
import json

import pytest

from lbbt_mm.datasets.captions import open_captions, read_pairs, read_quadruples

ROWS = [dict(id=0, image_0='a.png', caption_0='a cup on a book', image_1='b.png', caption_1='a book on a cup'),
        dict(id=1, image_0='c.png', caption_0='a dog that chases', image_1='a.png', caption_1='a chased dog')]


def write(path):
    if path.suffix == '.csv':
        with open(path, 'w', newline='') as file:
            table = csv.DictWriter(file, ROWS[0])
            table.writeheader()
            table.writerows(ROWS)
    else:
        path.write_text(json.dumps(ROWS) if path.suffix == '.json' else '\n'.join(map(json.dumps, ROWS)))
    return path


@pytest.mark.parametrize('ending', ['csv', 'jsonl', 'json'])
def test_rows_are_two_pairs(tmp_path, ending):
    path = write(tmp_path / f'quadruples.{ending}')
    assert read_quadruples(path) == [(('a.png', 'a cup on a book'), ('b.png', 'a book on a cup')),
                                     (('c.png', 'a dog that chases'), ('a.png', 'a chased dog'))]
    captions = open_captions(path)
    assert captions.keys == ['a.png', 'b.png', 'c.png']
    assert captions.captions == [['a cup on a book', 'a chased dog'], ['a book on a cup'], ['a dog that chases']]


def test_a_caption_with_a_comma_is_whole_or_refused(tmp_path):
    path = tmp_path / 'captions.csv'
    path.write_text('image,caption\na.png,"a dog, a cat"\n')
    assert read_pairs(path) == [('a.png', 'a dog, a cat')]
    path.write_text('image,caption\na.png,a dog\nb.png,a dog, a cat\n')
    with pytest.raises(ValueError, match='row 2 has more cells than the header; .* Put captions with commas in quotes'):
        read_pairs(path)


def test_a_row_that_lacks_a_caption(tmp_path):
    path = tmp_path / 'quadruples.jsonl'
    path.write_text(json.dumps(ROWS[0]) + '\n' + json.dumps({**ROWS[1], 'caption_1': ' '}))
    with pytest.raises(ValueError, match='row 2 has no caption_1; expected image_0 and caption_0 and image_1 and caption_1'):
        read_quadruples(path)


def test_other_files(tmp_path):
    (tmp_path / 'pairs.jsonl').write_text(json.dumps(dict(image='a.png', caption='a cup')))
    with pytest.raises(ValueError, match='holds no quadruples; expected image_0, caption_0, image_1, caption_1 in each'):
        read_quadruples(tmp_path / 'pairs.jsonl')
    with pytest.raises(FileNotFoundError, match='none.csv: no such file'):
        read_quadruples(tmp_path / 'none.csv')


def pairs(tmp_path, text, name='a.jsonl'):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_pairs(tmp_path / name)


def test_numbers_in_json_are_texts(tmp_path):
    assert pairs(tmp_path, '{"image": "a.png", "caption": 1984}\n\n{"image": 7, "caption": 1.5}') == [
        ('a.png', '1984'), ('7', '1.5')]


def test_a_csv_file_may_have_lines_in_quotes_and_a_byte_order_mark(tmp_path):
    text = '\ufeffimage,more,caption\r\n a.png ,1,"a cat,\na ""dog"""\r\n'
    assert pairs(tmp_path, text, 'a.CSV') == [('a.png', 'a cat,\na "dog"')]


@pytest.mark.parametrize('name, text, says', [
    ('a.jsonl', '{"image": "a.png", "caption": true}', 'row 1 has no caption'),
    ('a.jsonl', '{"image": NaN, "caption": "a"}', 'row 1 has no image'),
    ('a.jsonl', '{"image": "a.png", "caption": "a"}\n["b.png", "b"]', 'row 2 has no image'),
    ('a.jsonl', '{"image": "a.png", "caption": "a"}{', 'cannot be read'), ('a.jsonl', '', 'has no rows'),
    ('a.jsonl', b'\xff', 'cannot be read .*in UTF-8'), ('a.csv', 'image,caption\na.png\n', 'row 1 has no caption'),
    ('a.csv', 'image,caption\na.png,"a', 'cannot be read'), ('a.csv', 'path,caption\na.png,a\n', 'row 1 has no image'),
    ('a.csv', 'image,caption\n', 'has no rows; expected image and caption in each')])
def test_rows_that_lack_something(tmp_path, name, text, says):
    with pytest.raises(ValueError, match=says):
        pairs(tmp_path, text, name)


@pytest.mark.parametrize('text', ['[]', '[3]', '{"image_0": "a.png"}', '3'])
def test_json_that_is_no_list_of_quadruples(tmp_path, text):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match='holds no quadruples'):
        read_quadruples(tmp_path / 'a.json')
