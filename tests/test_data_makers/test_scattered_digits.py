"""Canvases of scattered digits, and both sets of them: what they are made from, and what is refused."""
import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from lbbt_mm.data_makers import digits_to_ade, digits_to_coco, scattered_digits
from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
from tests.canvas_sets import SPLITS, boxes_and_masks, files, read
from tests.tool_processes import run_tool


def test_training_and_validation_digits_differ(tmp_path, monkeypatch):
    """The first 1,400 digits are made upright bars, the others level ones: each split shows one kind."""
    bars = np.zeros((1797, 8, 8))
    bars[:1400, :, 3:5] = bars[1400:, 3:5, :] = 16
    monkeypatch.setattr('sklearn.datasets.load_digits', lambda: Bunch(images=bars, target=np.zeros(1797, int)))
    sets = make_digits_detection(tmp_path / 'coco', 6, 6), make_digits_segmentation(tmp_path / 'ade', 6, 6)
    for split, folder, _ in SPLITS:
        for boxes, mask in boxes_and_masks(sets, split, folder):
            for _, x, y, w, h in boxes:
                assert (h > w) == (split == 'train')
                assert (mask[y:y + h, x:x + w] == 2).mean() > 0.9


@pytest.mark.parametrize('kind', ('coco', 'ade'))
def test_the_same_arguments_give_the_same_files_and_others_do_not(sets, kind, tmp_path):
    known = sets[kind == 'ade']
    make = make_digits_segmentation if kind == 'ade' else make_digits_detection
    assert files(make(tmp_path / 'again', 12, 5)) == files(known)
    other = files(make(tmp_path / 'other', 12, 5, seed=1))
    assert other.keys() == files(known).keys()
    assert all(other[name] != content for name, content in files(known).items() if name.endswith('000000.jpg'))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['again', 'other'], 'no partial folder stays'


def test_a_set_that_is_there_is_kept(tmp_path, capsys):
    data = make_digits_segmentation(tmp_path / 'ade', 2, 1)
    mask = data / 'annotations' / 'training' / '000000.png'
    mask.unlink()
    assert make_digits_segmentation(data, 2, 1) == data and not mask.exists(), 'it was there already'
    assert f'{data} holds this data set already: kept' in capsys.readouterr().out


@pytest.mark.parametrize('kind', ('coco', 'ade'))
@pytest.mark.parametrize('numbers, said', (
    (dict(num_train=0), 'num-train 0: expected 1 or more'), (dict(num_val=0), 'num-val 0: expected 1 or more'),
    (dict(num_val=-3), 'num-val -3: expected 1 or more'), (dict(size=8), 'size 8: expected 9 or more'),
    (dict(size=0), 'size 0: expected 9 or more'),
    (dict(seed=-1), 'seed -1: expected 0 or more')))
def test_numbers_that_no_set_can_be_made_with_are_refused_before_anything_is_made(kind, numbers, said, tmp_path):
    make = make_digits_segmentation if kind == 'ade' else make_digits_detection
    with pytest.raises(ValueError, match=said):
        make(tmp_path / 'data', **{**dict(num_train=2, num_val=1), **numbers})
    option, value = next(iter(numbers.items()))
    done = run_tool(f'dataset_converters/digits_to_{kind}.py', tmp_path / 'data', f'--{option.replace("_", "-")}', value)
    assert done.returncode == 2 and f'{value}: expected' in done.output and 'Traceback' not in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_canvas_has_room_for_every_digit(tmp_path):
    """Each of the 1,797 leaves ink at the smallest side that is drawn."""
    images = (load_digits().images * (255 / 16)).astype(np.uint8)
    side = scattered_digits.MIN_SIZE // 3
    assert all((cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) > scattered_digits.INK).any()
               for image in images)
    for canvas in scattered_digits.canvases(False, 200, scattered_digits.MIN_SIZE, 0):
        assert canvas.digits and canvas.image.shape == (scattered_digits.MIN_SIZE, scattered_digits.MIN_SIZE)


@pytest.mark.parametrize('converter', (digits_to_ade, digits_to_coco))
def test_help_says_what_each_number_is_and_its_default(converter, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['converter', '--help'])
    monkeypatch.setenv('COLUMNS', '200')
    with pytest.raises(SystemExit):
        converter.main()
    said = ' '.join(capsys.readouterr().out.split())
    for text in ('--num-train N training canvases; default: 6000', '--num-val N validation canvases; default: 200',
                 '--size PIXELS side of a canvas, 9 or more; default: 64', '--seed SEED of the scattering; default: 0'):
        assert text in said


def test_the_command_line(tmp_path):
    done = run_tool('dataset_converters/digits_to_ade.py', tmp_path / 'ade', '--num-train', 3, '--num-val', 2, '--size', 48)
    assert done.returncode == 0, done.output
    assert f'3 training and 2 validation canvases in {tmp_path / "ade"}' in done.output
    assert read(tmp_path / 'ade' / 'annotations' / 'validation' / '000001.png').shape == (48, 48)
    before = files(tmp_path)
    arguments = (tmp_path / 'ade', '--num-train', 3, '--num-val', 2, '--size', 48)
    again = run_tool('dataset_converters/digits_to_ade.py', *arguments)
    assert again.returncode == 0 and 'holds this data set already: kept' in again.output
    for tool, options, said in (('ade', ('--seed', 1), 'seed is 0 there, 1 asked'),
                                ('coco', (), "made_by is 'lbbt_mm digits_to_ade.py' there")):
        other = run_tool(f'dataset_converters/digits_to_{tool}.py', *arguments, *options)
        assert other.returncode == 2 and 'Traceback' not in other.output
        assert f'{tmp_path / "ade"} holds another data set of ours: {said}' in other.output
    assert files(tmp_path) == before
