"""Files of a pair test: two images and two captions a row."""
import csv
import json

import pytest

from lbbt_mm.datasets.captions import open_captions, read_quadruples

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
