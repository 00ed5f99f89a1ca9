"""configs/_base_/datasets: which images are trained and tested on, and what a network sees of a pixel's three colours."""
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.registry import DATASETS, MODELS
from mmseg.registry import MODELS as MMSEG_MODELS

from tests.closeness import assert_close
from tests.data_splits import assert_trains_and_tests_on_its_own_splits, innermost
from tests.tiny_detection import REPO

COMMON = ('classification', 'segmentation', 'imagenet_variants')  # what the others inherit; what is for tests alone
BASES = {path.stem: path for path in sorted((REPO / 'configs' / '_base_' / 'datasets').glob('*.py'))
         if path.stem not in COMMON}
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))  # images of any kind
#: Published mean and standard deviation of the training images, of red, green and blue between 0 and 1
STATISTICS = {
    'cifar10': ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    'cifar100': ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    'imagenet': _IMAGENET,
    'imagenet_augmented': _IMAGENET,
    'tiny_imagenet': _IMAGENET,
    'caltech256': _IMAGENET,
    'bar': _IMAGENET,
    'imagefolder': _HALF,
    'digits': _HALF,
}
CLASSES = {'cifar10': 10, 'cifar100': 100, 'imagenet': 1000, 'imagenet_augmented': 1000, 'tiny_imagenet': 200,
           'caltech256': 256, 'bar': 6, 'imagefolder': 10, 'digits': 10}
SEGMENTATION = ('ade20k', 'pascal_context')
#: A colour that is another one in any other order, or taken from another data set's mean
RED, GREEN, BLUE = 200, 90, 20


def statistics_of(name: str) -> tuple:
    """Mean and standard deviation of a base, (3, 1, 1) each, as pixels from 0 to 255 have them."""
    return tuple(255 * torch.tensor(values)[:, None, None] for values in STATISTICS[name])


@pytest.fixture
def data_root(tmp_path, monkeypatch) -> Path:
    """One image of one colour, as every dataset stores it: a file, and the arrays of CIFAR."""
    for split in ('train', 'test'):
        (tmp_path / split / 'a').mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / 'a' / '0.png'), np.full((8, 8, 3), (BLUE, GREEN, RED), np.uint8))
    pixels = np.repeat(np.array([RED, GREEN, BLUE], np.uint8), 32 * 32)[None]  # CIFAR has whole planes, red first
    for kind in (CIFAR10, CIFAR100):
        monkeypatch.setattr(kind, '_check_integrity', lambda self: True)  # the checksums are those of the real images
        (tmp_path / kind.base_folder).mkdir()
        entry = dict(data=pixels, labels=[3], fine_labels=[3])
        for file, _ in kind.train_list + kind.test_list:
            (tmp_path / kind.base_folder / file).write_bytes(pickle.dumps(entry))
        meta = dict(label_names=CIFAR10.METAINFO['classes'], fine_label_names=CIFAR100.METAINFO['classes'])
        (tmp_path / kind.base_folder / kind.meta['filename']).write_bytes(pickle.dumps(meta))
    monkeypatch.setenv('LBBT_DATA_ROOT', str(tmp_path))
    init_default_scope('mmpretrain')
    return tmp_path


def load_sample(config: dict, root: Path) -> dict:
    """The first sample of a dataset's config, through its pipeline."""
    if 'CIFAR' in config.type:
        return DATASETS.build(config)[0]
    # ImageNet asks for its thousand folders; what comes before the pipeline is the path alone
    split = 'train' if 'train' in (config.get('split'), config.get('data_prefix')) else 'test'
    path = str(root / split / 'a' / '0.png')
    return Compose(config.pipeline)(dict(img_path=path, gt_label=0, sample_idx=0))


@pytest.mark.parametrize('name', BASES)
def test_training_and_test_images_are_not_the_same(name):
    assert_trains_and_tests_on_its_own_splits(Config.fromfile(BASES[name]))


def test_every_base_is_looked_at():
    known = {*STATISTICS, *SEGMENTATION}
    assert BASES.keys() == known and STATISTICS.keys() == CLASSES.keys()


@pytest.mark.parametrize('name', [name for name in BASES if name not in SEGMENTATION])
@pytest.mark.parametrize('loader', ['train', 'val', 'test'])
def test_the_network_sees_red_green_and_blue_standardised_each_by_its_own_statistics(name, loader, data_root):
    cfg = Config.fromfile(BASES[name])
    sample = load_sample(innermost(cfg[f'{loader}_dataloader'].dataset), data_root)
    preprocessor = MODELS.build(dict(type='ClsDataPreprocessor', **cfg.data_preprocessor))
    seen = preprocessor(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))['inputs'][0]
    mean, std = statistics_of(name)
    expected = (torch.tensor([RED, GREEN, BLUE])[:, None, None] - mean) / std
    # the published numbers have four digits; means that change places are off by ten times as much
    torch.testing.assert_close(seen, expected.expand_as(seen), rtol=0, atol=0.004)


@pytest.mark.parametrize('name', [name for name in BASES if name not in SEGMENTATION])
def test_classes_are_counted_once(name):
    cfg = Config.fromfile(BASES[name])
    assert cfg.num_classes == cfg.data_preprocessor.num_classes == CLASSES[name]


@pytest.mark.parametrize('path', sorted(
    path for path in (REPO / 'configs').rglob('segmenter_*.py') if '_base_' not in path.parts),
    ids=lambda path: path.stem)
def test_a_segmenter_sees_red_first_between_minus_one_and_one(path):
    """As the published weights of its encoder do."""
    init_default_scope('mmseg')
    config = dict(Config.fromfile(path).model.data_preprocessor, size=None, test_cfg=None)
    preprocessor = MMSEG_MODELS.build(config)
    image = torch.tensor([BLUE, GREEN, RED], dtype=torch.uint8)[:, None, None].expand(3, 16, 16)  # as OpenCV loads it
    seen = preprocessor(dict(inputs=[image], data_samples=[]))['inputs'][0]
    expected = torch.tensor([RED, GREEN, BLUE])[:, None, None] / 127.5 - 1
    assert_close(seen, expected.expand_as(seen), terms=1)
