"""The detection and the segmentation set of scattered digits: layout, masks, and that they stay what they are."""
import hashlib
import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from lbbt_mm.checks import raise_fatal
from lbbt_mm.checks.segmentation import segmentation_problems
from tests.tiny_detection import REPO
from tests.tool_processes import run_tool

SPLITS = (('train', 'training', 12), ('val', 'validation', 5))


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    """The detection and the segmentation set of the same arguments."""
    from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
    from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
    root = tmp_path_factory.mktemp('digits')
    return make_digits_detection(root / 'coco', 12, 5), make_digits_segmentation(root / 'ade', 12, 5)


def read(path):
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture.ndim == 2 and picture.dtype == np.uint8
    return picture


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def boxes_and_masks(sets, split, folder):
    """Of each canvas: its labelled boxes and its mask."""
    coco, ade = sets
    found = json.loads((coco / 'annotations' / f'instances_{split}2017.json').read_text())
    for image in found['images']:
        boxes = [(a['category_id'], *a['bbox']) for a in found['annotations'] if a['image_id'] == image['id']]
        yield boxes, read(ade / 'annotations' / folder / f'{image["id"]:06d}.png')


def test_the_detection_set_stays_what_it_is(sets):
    """Pixels and boxes, not files: how a picture is packed depends on the library's version."""
    coco, _ = sets
    digest = hashlib.sha256()
    for split, _, _ in SPLITS:
        digest.update((coco / 'annotations' / f'instances_{split}2017.json').read_bytes())
        for path in sorted((coco / f'{split}2017').iterdir()):
            digest.update(read(path).tobytes())
    assert digest.hexdigest() == 'd71ced6a1273d694c67fd32d33e5e7c8a18774aaae9069355212009b1c7f37e8'


def test_the_segmentation_set_has_the_layout_of_ade20k_and_the_canvases_of_the_detection_set(sets):
    coco, ade = sets
    assert set(files(ade)) == {'recipe.json'} | {
        f'{kind}/{folder}/{number:06d}.{suffix}' for _, folder, count in SPLITS for number in range(count)
        for kind, suffix in (('images', 'jpg'), ('annotations', 'png'))}
    for split, folder, count in SPLITS:
        for number in range(count):
            image = read(ade / 'images' / folder / f'{number:06d}.jpg')
            canvas = read(coco / f'{split}2017' / f'{number:06d}.png')
            assert image.shape == canvas.shape == (64, 64)
            assert np.abs(image.astype(int) - canvas).mean() < 4, 'but for JPEG the same picture'


@pytest.mark.parametrize('split, folder, count', SPLITS)
def test_masks_agree_with_boxes(sets, split, folder, count):
    for boxes, mask in boxes_and_masks(sets, split, folder):
        rest = mask.copy()
        for label, x, y, w, h in boxes:
            inside = mask[y:y + h, x:x + w]
            assert set(np.unique(inside)) <= {0, 1, label + 2}, 'no other digit is in the box'
            ink = inside == label + 2
            assert all(side.any() for side in (ink[0], ink[-1], ink[:, 0], ink[:, -1])), 'the ink fills the box'
            rest[y:y + h, x:x + w] = 1
        assert set(np.unique(rest)) <= {0, 1}, 'every digit has a box'


def test_rims_are_ignored_and_everything_brighter_is_ink(sets):
    _, ade = sets
    for _, folder, count in SPLITS:
        for number in range(count):
            image, mask = (read(ade / kind / folder / f'{number:06d}.{suffix}').astype(int)
                           for kind, suffix in (('images', 'jpg'), ('annotations', 'png')))
            assert 0 < (mask == 0).mean() < 0.1
            jpeg = 30
            assert image[mask >= 2].min() > 60 - jpeg and image[mask == 0].max() <= 60 + jpeg
            assert image[mask == 1].max() < 40 + jpeg, 'the background has the grain alone'


def test_training_and_validation_digits_differ(tmp_path, monkeypatch):
    """The first 1,400 digits are made upright bars, the others level ones: each split shows one kind."""
    from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
    from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
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
    from lbbt_mm.data_makers import digits_to_ade, digits_to_coco
    known = sets[kind == 'ade']
    make = digits_to_ade.make_digits_segmentation if kind == 'ade' else digits_to_coco.make_digits_detection
    assert files(make(tmp_path / 'again', 12, 5)) == files(known)
    other = files(make(tmp_path / 'other', 12, 5, seed=1))
    assert other.keys() == files(known).keys()
    assert all(other[name] != content for name, content in files(known).items() if name.endswith('000000.jpg'))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['again', 'other'], 'no partial folder stays'


def test_a_set_that_is_there_is_kept(tmp_path, capsys):
    from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
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
    from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
    from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
    make = make_digits_segmentation if kind == 'ade' else make_digits_detection
    with pytest.raises(ValueError, match=said):
        make(tmp_path / 'data', **{**dict(num_train=2, num_val=1), **numbers})
    option, value = next(iter(numbers.items()))
    done = run_tool(f'dataset_converters/digits_to_{kind}.py', tmp_path / 'data', f'--{option.replace("_", "-")}', value)
    assert done.returncode == 2 and f'{value}: expected' in done.output and 'Traceback' not in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_canvas_has_room_for_every_digit(tmp_path):
    """Each of the 1,797 leaves ink at the smallest side that is drawn."""
    from lbbt_mm.data_makers import scattered_digits
    images = (load_digits().images * (255 / 16)).astype(np.uint8)
    side = scattered_digits.MIN_SIZE // 3
    assert all((cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) > scattered_digits.INK).any()
               for image in images)
    for canvas in scattered_digits.canvases(False, 200, scattered_digits.MIN_SIZE, 0):
        assert canvas.digits and canvas.image.shape == (scattered_digits.MIN_SIZE, scattered_digits.MIN_SIZE)


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
        assert f'digits_to_{tool}.py: {tmp_path / "ade"} holds another data set of ours: {said}' in other.output
    assert files(tmp_path) == before


def test_the_demo_s_config_and_the_converter_have_the_same_classes(sets, monkeypatch):
    from lbbt_mm.data_makers.digits_to_ade import CLASSES
    monkeypatch.setenv('LBBT_DATA_ROOT', str(sets[1]))
    cfg = Config.fromfile(REPO / 'configs' / 'demo' / 'segmenter_smollm2_digits.py')
    raise_fatal(segmentation_problems(cfg, ('train_dataloader', 'val_dataloader', 'test_dataloader')))
    for name in ('train', 'val', 'test'):
        meta = cfg[f'{name}_dataloader'].dataset.metainfo
        assert tuple(meta.classes) == CLASSES
        assert len({tuple(colour) for colour in meta.palette}) == len(CLASSES), 'a colour a class'


def test_the_small_config_takes_the_set_as_it_is(sets, monkeypatch):
    monkeypatch.setenv('LBBT_DATA_ROOT', str(sets[1]))
    monkeypatch.setenv('LBBT_NUM_CLASSES', '11')
    raise_fatal(segmentation_problems(Config.fromfile(REPO / 'configs' / 'small' / 'segmenter_gpt2_ade20k.py')))
