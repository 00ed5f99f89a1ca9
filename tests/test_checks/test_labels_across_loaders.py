"""An image has one label in all data loaders, and different images share none: one error before a run starts otherwise."""
from pathlib import Path

import pytest
from mmengine.config import Config

from lbbt_mm.checks.image_folders import check_labels
from tests.image_folders import folder_config, random_label, run_config, write_splits


@pytest.fixture
def root(tmp_path) -> Path:
    return write_splits(tmp_path)


@pytest.mark.parametrize('name, value', [('seed', 4), ('ratio', 0.3), ('salt', 'b'), ('key', 'sample_idx')])
def test_train_acc1_is_measured_on_the_labels_that_are_trained(root, name, value):
    cfg = run_config(root)
    cfg.val_cfg.train_dataloader.dataset.pipeline[1][name] = value
    with pytest.raises(ValueError, match=r'val_cfg.train_dataloader.dataset.pipeline.1: RandomLabel has '
                       f'{name}={value!r}, that of train_dataloader {name}=.*labels that are not trained. Give both'):
        check_labels(cfg)
    cfg.val_cfg.train_dataloader.dataset.pipeline[1].ratio = 0
    check_labels(cfg)


def below(cfg: Config, root: Path, **options) -> None:
    """Give the loader of Train-acc1 another root or other samples."""
    cfg.val_cfg.train_dataloader.dataset.pipeline[1].data_root = str(root)
    cfg.val_cfg.train_dataloader.dataset.update(options)


def test_another_data_root_gives_other_labels(root):
    cfg = run_config(root)
    below(cfg, root / 'train')
    with pytest.raises(ValueError) as error:
        check_labels(cfg)
    assert str(error.value) == (
        f"val_cfg.train_dataloader.dataset.pipeline.1: RandomLabel has data_root={str(root / 'train')!r}, that of "
        f'train_dataloader data_root={str(root)!r}, so accuracy would be measured on labels that are not trained. Give both '
        'the same settings.')
    for loader in (cfg.train_dataloader, cfg.val_cfg.train_dataloader):
        loader.dataset.pipeline[1].key = 'pixels'  # which has no root
    check_labels(cfg)


def test_the_same_data_root_written_otherwise(root, monkeypatch, tmp_path):
    (tmp_path / 'link').symlink_to(root)
    monkeypatch.chdir(root / 'train')
    for same in ('..', f'{root}/', f'{root}/train/..', tmp_path / 'link'):
        cfg = run_config(root)
        below(cfg, same)
        check_labels(cfg)
    cfg = run_config(root)
    cfg.train_dataloader.dataset.pipeline[1].data_root = 's3://bucket/data/'
    below(cfg, 's3://bucket/./data')
    check_labels(cfg)
    below(cfg, 's3://bucket/other')
    with pytest.raises(ValueError, match='RandomLabel has data_root=.s3://bucket/other., that of .*s3://bucket/data'):
        check_labels(cfg)


@pytest.mark.parametrize('indices, passes', [(None, True), (2, True), (-2, False), ([4, 2], False), (range(1, 900), False)])
def test_indices_number_samples_anew(root, indices, passes):
    cfg = run_config(root)
    for loader in (cfg.train_dataloader, cfg.val_cfg.train_dataloader):
        loader.dataset.pipeline[1].key = 'sample_idx'
    cfg.val_cfg.train_dataloader.dataset.indices = list(indices) if isinstance(indices, range) else indices
    if passes:
        return check_labels(cfg)
    with pytest.raises(ValueError, match=r"dataset.pipeline.1: RandomLabel has key='sample_idx' and its dataset "
                       r'indices=.*, that of train_dataloader indices=None, so accuracy would') as error:
        check_labels(cfg)
    assert len(str(error.value)) < 600
    for loader in (cfg.train_dataloader, cfg.val_cfg.train_dataloader):
        loader.dataset.pipeline[1].key = 'img_path'  # to which they make no difference
    check_labels(cfg)


def concatenated(root: Path, *labels: dict) -> Config:
    """A run on the training and the test images together."""
    cfg = run_config(root)
    labels = [random_label(root, **{**dict(num_classes=3, key='sample_idx'), **label}) for label in labels]
    parts = [folder_config(root, label, data_prefix=split) for label, split in zip(labels, ('train', 'test', 'train'))]
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
    del cfg.val_cfg['train_dataloader']
    return cfg


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_cfg.train_dataloader'])
def test_different_images_may_not_share_labels(root, loader):
    cfg = concatenated(root, {}, {})
    if loader != 'train_dataloader':
        cfg.val_cfg.train_dataloader = cfg.train_dataloader
        cfg.train_dataloader = run_config(root).val_dataloader
    with pytest.raises(ValueError) as error:
        check_labels(cfg)
    assert str(error.value) == (
        f"{loader}.dataset.datasets.0 and {loader}.dataset.datasets.1: RandomLabel has key='sample_idx', seed=3 and "
        "salt='' in both, so different images would share labels. Give each dataset's RandomLabel a salt of its own, such "
        "as salt='a' and salt='b'.")


@pytest.mark.parametrize('labels', [
    (dict(salt='a'), dict(salt='b')), (dict(salt=1), {}), (dict(seed=1), dict(seed=2)), ({}, dict(key='img_path')),
    ({}, dict(ratio=0)), (dict(salt='a'), dict(salt='b'), dict(salt='a'))])
def test_concatenated_datasets_with_labels_of_their_own(root, labels):
    """The third is the first once more: its images keep their labels."""
    check_labels(concatenated(root, *labels))


def test_concatenated_parts_of_one_dataset(root):
    cfg = concatenated(root, {}, {})
    first, second = cfg.train_dataloader.dataset.datasets
    second.update(data_prefix='train', test_mode=True, indices=3)
    check_labels(cfg)
    second.indices = [3, 4]
    with pytest.raises(ValueError, match='different images would share labels'):
        check_labels(cfg)
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=dict(
        type='ConcatDataset', datasets=[first, dict(type='lbbt_mm.EvenSubset', num_samples=2, dataset=second)]))
    with pytest.raises(ValueError, match=r'dataset.dataset.datasets.0 and .*datasets.1.dataset: RandomLabel has key'):
        check_labels(cfg)
