"""Images of folders, and the table of their classes."""
import argparse
import csv
from pathlib import Path

import numpy as np
import pytest

from lbbt_mm.zero_shot import classify_images
from lbbt_mm.zero_shot.classify_images import find_images, run

NAMES = ['cat', 'dog', 'bird']
#: Scores of the images whose names end so.
SCORES = {'1.png': [0.2, 0.7, 0.1], '2.jpg': [0.5, 0.1, 0.4], '3.PNG': [0., 0., 1.]}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    (folder / 'below').mkdir(parents=True)
    for name in (*SCORES, 'notes.txt', 'below/4.png'):
        (folder / name).write_bytes(b'')
    return folder


def test_images_of_folders_come_by_name_and_others_as_they_are_named(photos):
    assert [path.name for path in find_images([str(photos)])] == ['1.png', '2.jpg', '3.PNG']
    assert find_images([str(photos / 'notes.txt'), str(photos)])[:2] == [photos / 'notes.txt', photos / '1.png']


def test_a_folder_that_is_called_as_an_image_is_none(photos):
    (photos / 'all.png').mkdir()
    assert [path.name for path in find_images([str(photos)])] == ['1.png', '2.jpg', '3.PNG']


@pytest.mark.parametrize('place, message', [('none.png', 'none.png: no such file; expected images, or folders of them'),
                                            ('photos/below/empty', 'empty: holds no images; expected images')])
def test_what_is_not_there(photos, place, message):
    (photos / 'below' / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=message):
        find_images([str(photos.parent / place)])


@pytest.fixture
def inferencer(monkeypatch):
    """Takes the place of the models; a list of the batches that it gets, below what it was made with."""
    seen = []

    class Inferencer:
        classes, checkpoint = NAMES, Path('best_pair_loss_iter_110.pth')

        def __init__(self, *given):
            seen.append(given)

        def __call__(self, paths, batch_size):
            assert batch_size == len(paths)
            seen.append([path[-5:] for path in paths])
            return [dict(pred_scores=np.array(SCORES[path[-5:]])) for path in paths]

    monkeypatch.setattr(classify_images, 'ZeroShotInferencer', Inferencer)
    return seen


def classify(photos, **options):
    given = dict(run='run', images=[str(photos)], classes=['a.txt'], templates=['{}', 'a {}'], vision=None, text=None,
                 cache=None, device='cpu', cfg_options=['a=1'], batch_size=2, topk=2, out=None)
    return run(argparse.Namespace(**{**given, **options}))


def test_the_best_classes_of_each_image(photos, inferencer, tmp_path, capsys):
    assert classify(photos, out=str(tmp_path / 'out.csv')) == 0
    assert inferencer[0][:8] == ('run', 'a.txt', ['{}', 'a {}'], None, None, None, 'cpu', ['a=1'])
    assert inferencer[1:] == [['1.png', '2.jpg'], ['3.PNG']]
    with open(tmp_path / 'out.csv', newline='') as file:
        assert list(csv.reader(file)) == [
            ['image', 'class 1', 'p 1', 'class 2', 'p 2'], [str(photos / '1.png'), 'dog', '0.700', 'cat', '0.200'],
            [str(photos / '2.jpg'), 'cat', '0.500', 'bird', '0.400'],
            [str(photos / '3.PNG'), 'bird', '1.000', 'dog', '0.000']]
    said = capsys.readouterr().out
    assert '3 classes' in said and 'Projections of best_pair_loss_iter_110.pth' in said


def test_more_classes_than_there_are_are_all(photos, inferencer, capsys):
    assert classify(photos, topk=9) == 0
    assert 'p 3' in (said := capsys.readouterr().out) and 'p 4' not in said


def test_the_folder_of_the_table_is_made(photos, inferencer, tmp_path):
    assert classify(photos, out=str(tmp_path / 'new' / 'below' / 'out.csv')) == 0
    assert (tmp_path / 'new' / 'below' / 'out.csv').read_text().startswith('image,class 1')
