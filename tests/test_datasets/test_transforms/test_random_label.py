"""RandomLabel: what a sample's label depends on, and what it does not; bad input."""
import os
import pickle
import random
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chi2_contingency, chisquare

from lbbt_mm.datasets import RandomLabel
from tests.image_folders import build, folder_config, random_label, write_image_folder

NUM_SAMPLES = 6000


def draw(key_value: Any = 0, gt_label: Any = 0, **options: Any) -> dict:
    """Relabel a sample that is known by its index."""
    transform = RandomLabel(**{**dict(num_classes=10, key='sample_idx'), **options})
    return transform(dict(sample_idx=key_value, gt_label=gt_label))


def many(**options: Any) -> List[dict]:
    transform = RandomLabel(**{**dict(num_classes=10, key='sample_idx', seed=7), **options})
    return [transform(dict(sample_idx=index, gt_label=0)) for index in range(NUM_SAMPLES)]


def path_label(path: Any, data_root: Any, **options: Any) -> int:
    """With so many classes that equal labels mean equal keys."""
    return RandomLabel(num_classes=10**9, data_root=data_root, **options)(dict(img_path=path, gt_label=0))['gt_label']


def pixel_label(img: Any) -> int:
    return RandomLabel(num_classes=10**9, key='pixels')(dict(img=img, gt_label=0))['gt_label']


# ---- what a label is


def test_labels_are_uniform():
    counts = Counter(sample['gt_label'] for sample in many())
    assert sorted(counts) == list(range(10))
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_labels_are_uniform_among_the_samples_that_a_ratio_picks():
    """So the draw of the class does not follow from the draw that decides."""
    samples = many(ratio=0.3)
    counts = Counter(sample['gt_label'] for sample in samples if sample['label_is_random'])
    assert chisquare([counts[label] for label in range(10)]).pvalue > 0.01
    classes = [sample['gt_label'] for sample in many()]
    table = np.zeros((2, 10))
    for sample, label in zip(samples, classes):
        table[int(sample['label_is_random']), label] += 1
    assert chi2_contingency(table).pvalue > 0.01


def test_labels_do_not_depend_on_the_true_ones():
    assert [draw(index, gt_label=index % 10)['gt_label'] for index in range(100)] == [
        draw(index)['gt_label'] for index in range(100)]


@pytest.mark.parametrize('true_label', [0, 4, 9])
def test_labels_without_the_true_one_are_uniform_over_the_others(true_label):
    counts = Counter(draw(index, true_label, exclude_true=True)['gt_label'] for index in range(NUM_SAMPLES))
    assert sorted(counts) == [label for label in range(10) if label != true_label]
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_labels_without_the_true_one_are_of_the_same_samples():
    """The switch changes labels, not which samples have random ones."""
    chosen = [[sample['label_is_random'] for sample in many(ratio=0.3, exclude_true=exclude)] for exclude in (False, True)]
    assert chosen[0] == chosen[1]
    assert all(sample['gt_label'] == 0 for sample in many(ratio=0.3, exclude_true=True) if not sample['label_is_random'])


def test_labels_without_the_true_one_say_what_it_is_not():
    """A classifier that has learned them and is asked for the true class answers it never; by chance it would in 1 of 10."""
    samples = [draw(index, index % 10, exclude_true=True) for index in range(NUM_SAMPLES)]
    assert not any(sample['gt_label'] == sample['true_label'] for sample in samples)
    uniform = [draw(index, index % 10) for index in range(NUM_SAMPLES)]
    agree = np.mean([sample['gt_label'] == sample['true_label'] for sample in uniform])
    assert agree == pytest.approx(0.1, abs=4 * np.sqrt(0.1 * 0.9 / NUM_SAMPLES))


@pytest.mark.parametrize('ratio', [0.15, 0.3, 0.5])
def test_the_ratio_is_the_share_of_random_labels(ratio):
    share = np.mean([sample['label_is_random'] for sample in many(ratio=ratio)])
    assert share == pytest.approx(ratio, abs=4 * (ratio * (1 - ratio) / NUM_SAMPLES)**0.5)


def test_ratio_0_keeps_all_labels_and_ratio_1_none():
    for index in range(50):
        kept, drawn = draw(index, 4, ratio=0), draw(index, 4, ratio=1)
        assert (kept['gt_label'], kept['true_label'], kept['label_is_random']) == (4, 4, False)
        assert drawn['true_label'] == 4 and drawn['label_is_random'] is True


def test_ratios_are_nested():
    previous: List[dict] = []
    for ratio in (0.0, 0.15, 0.3, 1.0):
        samples = many(ratio=ratio)
        for before, sample in zip(previous, samples):
            if before['label_is_random']:
                assert sample['label_is_random'] and sample['gt_label'] == before['gt_label']
        previous = samples
    assert all(sample['label_is_random'] for sample in previous)


def test_labels_are_these_numbers():
    """Written down once: another machine, another release of Python or numpy must find them again."""
    assert [draw(index, seed=0)['gt_label'] for index in range(12)] == [3, 0, 5, 8, 3, 5, 4, 4, 3, 8, 0, 1]
    assert path_label('/data/train/cat/é 1.jpg', '/data', seed=1, salt='a') == 917418438
    assert pixel_label(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)) == 687867212
    others = [draw(index, index % 10, seed=0, exclude_true=True)['gt_label'] for index in range(12)]
    assert others == [9, 7, 8, 4, 6, 6, 4, 9, 4, 1, 2, 9]
    assert path_label('/data/train/cat/é 1.jpg', '/data', seed=1, salt='a', exclude_true=True) == 990403639


def test_seed_salt_and_kind_of_key_make_other_labels():
    labels = {
        name: [sample['gt_label'] for sample in many(**options)]
        for name, options in dict(base={}, seed=dict(seed=8), salt=dict(salt='b'), number=dict(salt=1)).items()
    }
    for name, drawn in labels.items():
        agreement = np.mean(np.equal(drawn, labels['base']))
        assert agreement == 1 if name == 'base' else agreement < 0.13
    assert labels['number'] == [sample['gt_label'] for sample in many(salt='1')], 'a number on the command line'
    assert draw(3, num_classes=10**9) == draw(np.int64(3), num_classes=10**9)


def test_no_random_state_is_touched():
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first = draw(1)['gt_label']
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert draw(1)['gt_label'] == first


def test_the_transform_survives_the_way_to_a_worker():
    transform = RandomLabel(num_classes=10**9, data_root='/data', ratio=0.5)
    again = pickle.loads(pickle.dumps(transform))
    assert repr(again) == repr(transform)
    for index in range(10):
        sample = dict(img_path=f'/data/{index}.jpg', gt_label=2)
        assert again(dict(sample)) == transform(dict(sample))


# ---- img_path


def test_a_path_counts_from_data_root_on(tmp_path, monkeypatch):
    """The same images in another place, on another machine, under another spelling."""
    monkeypatch.chdir(tmp_path)
    label = path_label('/data/train/cat/1.jpg', '/data')
    assert path_label('/mnt/elsewhere/train/cat/1.jpg', '/mnt/elsewhere/') == label
    assert path_label('/mnt/x/../elsewhere/train//cat/./1.jpg', '/mnt/elsewhere/y/..') == label
    assert path_label('data/train/cat/1.jpg', 'data') == label
    assert path_label('data/train/cat/1.jpg', str(tmp_path / 'data')) == label
    assert path_label(tmp_path / 'data/train/cat/1.jpg', Path('./data/')) == label
    assert path_label('../data/train/cat/1.jpg', '../data') == label
    assert path_label('train/cat/1.jpg', '.') == label
    assert path_label('/train/cat/1.jpg', '/') == label
    assert path_label('~/data/train/cat/1.jpg', os.path.expanduser('~/data')) == label
    assert path_label('/data/train/cat/2.jpg', '/data') != label
    assert path_label('/data/train/cat/1.jpg', '/data/train') != label


def test_symbolic_links_to_the_root_do_not_matter(tmp_path):
    image = tmp_path / 'real' / 'train' / '1.jpg'
    image.parent.mkdir(parents=True)
    image.touch()
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    (tmp_path / 'shortcut').symlink_to(tmp_path / 'real' / 'train')
    label = path_label(image, tmp_path / 'real')
    assert path_label(tmp_path / 'link' / 'train' / '1.jpg', tmp_path / 'link') == label
    assert path_label(tmp_path / 'link' / 'train' / '1.jpg', tmp_path / 'real') == label
    assert path_label(image, tmp_path / 'link') == label
    assert path_label(tmp_path / 'shortcut' / '1.jpg', tmp_path / 'real') == label


def test_images_that_are_links_keep_their_own_names(tmp_path):
    """As in a store that names files by their content, or a root whose folders lie on several disks."""
    store = tmp_path / 'store'
    (store / 'cats').mkdir(parents=True)
    (store / 'abc').touch()
    root = tmp_path / 'root'
    (root / 'train').mkdir(parents=True)
    (root / 'train' / '1.jpg').symlink_to(store / 'abc')
    (root / 'train' / 'cats').symlink_to(store / 'cats')
    (tmp_path / 'link').symlink_to(root)
    assert path_label(root / 'train' / '1.jpg', root) == path_label('/data/train/1.jpg', '/data')
    assert path_label(tmp_path / 'link' / 'train' / 'cats' / '1.jpg', root) == path_label('/data/train/cats/1.jpg', '/data')


def test_a_url_is_a_prefix():
    label = path_label('/data/train/cat/1.jpg', '/data')
    assert path_label('s3://bucket/data/train/cat/1.jpg', 's3://bucket/data/') == label
    assert path_label('cluster:s3://bucket/data//train/cat/1.jpg', 'cluster:s3://bucket/data') == label


def test_an_accented_name_is_the_same_however_a_file_system_writes_it():
    composed, decomposed = (unicodedata.normalize(form, '/data/é.jpg') for form in ('NFC', 'NFD'))
    assert composed != decomposed and path_label(composed, '/data') == path_label(decomposed, '/data')


def test_a_file_name_that_is_no_unicode():
    assert path_label(os.fsdecode(b'/data/\xff.jpg'), '/data') != path_label(os.fsdecode(b'/data/\xfe.jpg'), '/data')


@pytest.mark.parametrize('path, root', [
    ('/other/1.jpg', '/data'), ('/database/1.jpg', '/data'), ('/data/../1.jpg', '/data'), ('/data', '/data'),
    ('s3://bucket/1.jpg', '/data'), ('/data/1.jpg', 's3://bucket'), ('s3://bucket-2/1.jpg', 's3://bucket'),
    ('http://bucket/1.jpg', 's3://bucket')])
def test_an_image_outside_data_root_is_an_error(path, root):
    with pytest.raises(ValueError) as error:
        path_label(path, root)
    assert f"RandomLabel: key='img_path': {path} is not below data_root={root!r}" in str(error.value)
    assert 'Set data_root to the folder' in str(error.value)


# ---- pixels


def test_pixels_are_bytes_shape_and_dtype():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    label = pixel_label(image)
    assert pixel_label(image.copy()) == pixel_label(np.asfortranarray(image)) == label
    changed = image.copy()
    changed[1, 2, 0] += 1
    for other in (changed, image.reshape(4, 2, 3), image.view(np.int8), image[:, ::-1]):
        assert pixel_label(other) != label


def test_pixels_need_no_path_and_survive_a_move(tmp_path):
    options = dict(key='pixels', data_root=None, num_classes=10**9)
    first, second = (write_image_folder(tmp_path / name, dict(a=2, b=3)) for name in ('first', 'second'))
    (second / 'a' / '0.png').rename(second / 'a' / 'z.png')
    labels = [{int(sample['data_samples'].gt_label) for sample in build(folder_config(root, random_label(root, **options)))}
              for root in (first, second)]
    assert labels[0] == labels[1] and len(labels[0]) == 5


@pytest.mark.parametrize('img', [Image.new('RGB', (2, 2)), [np.zeros((2, 2, 3))], torch.zeros(3, 2, 2)])
def test_pixels_of_something_else_than_an_array(img):
    with pytest.raises(ValueError, match='needs an image array, found results.* of type .*directly after'):
        pixel_label(img)


# ---- the way to the data sample


def test_the_true_label_travels_with_the_sample(tmp_path):
    root = write_image_folder(tmp_path, dict(a=4, b=4))
    for sample in build(folder_config(root, random_label(root, ratio=0.5))):
        sample = sample['data_samples']
        assert sample.true_label == (0 if Path(sample.img_path).parent.name == 'a' else 1)
        assert isinstance(sample.label_is_random, bool)
        assert sample.label_is_random or int(sample.gt_label) == sample.true_label


def test_labels_of_other_number_types():
    for label in (np.int64(3), np.array(3)):
        assert draw(gt_label=label)['true_label'] == 3


# ---- bad input


@pytest.mark.parametrize('options, message', [
    (dict(num_classes=0), 'num_classes=0; expected a whole number, 1 or more'),
    (dict(num_classes=-3), 'num_classes=-3'),
    (dict(num_classes=2.0), 'num_classes=2.0'),
    (dict(num_classes=True), 'num_classes=True'),
    (dict(num_classes='10'), "num_classes='10'"),
    (dict(num_classes=None), 'num_classes=None'),
    (dict(ratio=-0.1), r'ratio=-0.1; expected a number from 0 to 1'),
    (dict(ratio=1.01), 'ratio=1.01'),
    (dict(ratio=float('nan')), 'ratio=nan'),
    (dict(ratio=float('inf')), 'ratio=inf'),
    (dict(ratio=True), 'ratio=True'),
    (dict(ratio='0.5'), "ratio='0.5'"),
    (dict(ratio=None), 'ratio=None'),
    (dict(seed=1.5), 'seed=1.5; expected a whole number'),
    (dict(seed=True), 'seed=True'),
    (dict(seed=None), 'seed=None'),
    (dict(key='filename'), "key='filename'; expected one of 'img_path', 'pixels', 'sample_idx'"),
    (dict(key=['img_path']), 'key='),
    (dict(salt=None), 'salt=None; expected a string'),
    (dict(salt=True), 'salt=True'),
])
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=f'RandomLabel: {message}'):
        RandomLabel(**{**dict(num_classes=10, key='sample_idx'), **options})


@pytest.mark.parametrize('root', [None, ''])
def test_paths_need_a_root_when_the_pipeline_is_built(root):
    with pytest.raises(ValueError, match=r"key='img_path' needs data_root, found .*Set data_root to the dataset's own, or "
                       "choose key='pixels' or key='sample_idx'"):
        RandomLabel(num_classes=10, data_root=root)


@pytest.mark.parametrize('options, sample, choices', [
    (dict(data_root='/data'), dict(img=np.zeros((2, 2, 3)), sample_idx=0), "key='pixels' or key='sample_idx'"),
    (dict(data_root='/data'), dict(img_path=None, sample_idx=0), "key='sample_idx'"),
    (dict(key='sample_idx'), dict(img_path='/data/1.jpg'), "key='img_path'"),
    (dict(key='pixels'), dict(img_path='/data/1.jpg', sample_idx=1),
     "key='img_path' or key='sample_idx', or move RandomLabel behind the transform that loads the image"),
    (dict(key='sample_idx'), {}, 'a dataset that has one of these'),
])
def test_a_sample_without_the_key(options, sample, choices):
    transform = RandomLabel(num_classes=10, **options)
    with pytest.raises(ValueError) as error:
        transform(dict(sample, gt_label=0))
    assert f'RandomLabel: key={transform.key!r} needs' in str(error.value)
    assert f'found {", ".join([*sample, "gt_label"])}. Choose {choices}.' in str(error.value)


@pytest.mark.parametrize('label', [[1], [0, 3], (2, ), np.array([1]), torch.tensor(1), 1.0, '1', None, True])
def test_labels_that_are_not_one_number(label):
    with pytest.raises(ValueError, match='RandomLabel: gt_label=.*; expected one whole number per image. Multi-label'):
        draw(gt_label=label)


def test_a_sample_without_a_label():
    with pytest.raises(ValueError, match="has no 'gt_label', only sample_idx. Use a dataset with labels"):
        RandomLabel(num_classes=10, key='sample_idx')(dict(sample_idx=0))


@pytest.mark.parametrize('label', [10, 99, -1])
@pytest.mark.parametrize('ratio', [0, 1])
def test_a_true_label_beyond_num_classes(label, ratio):
    with pytest.raises(ValueError, match=f'num_classes=10, but a sample has the true label {label}. Set num_classes'):
        draw(gt_label=label, ratio=ratio)


def test_labels_are_replaced_once():
    with pytest.raises(ValueError, match="has a 'true_label', so its label was replaced before. Remove one"):
        RandomLabel(num_classes=10, key='sample_idx')(draw())


@pytest.mark.parametrize('options, message', [
    (dict(exclude_true='no'), "exclude_true='no'; expected True or False"),
    (dict(exclude_true=True, num_classes=1), 'exclude_true=True with num_classes=1 leaves no class'),
])
def test_labels_without_the_true_one_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        draw(**options)
