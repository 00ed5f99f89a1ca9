"""Random labels agree with the head, and an image has one label in all epochs and data loaders: one error otherwise."""
from pathlib import Path

import pytest
from mmengine.config import Config

from lbbt_mm.checks.random_labels import check_random_labels
from tests.image_folders import folder_config, random_label, run_config, write_splits


@pytest.fixture
def root(tmp_path) -> Path:
    return write_splits(tmp_path)


def test_other_runs_pass():
    check_random_labels(Config(dict(model=dict(type='DETR', bbox_head=dict(num_classes=80)), train_dataloader=dict(
        dataset=dict(type='CocoDataset', ann_file='absent.json')), val_dataloader=None, val_cfg=None)))
    check_random_labels(Config(dict(model=dict(type='mmdet.DETR'))))


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader'])
def test_num_classes_of_transform_and_head(root, loader):
    cfg = run_config(root, train_labels=())
    cfg[loader].dataset.pipeline.insert(1, random_label(root, num_classes=4))
    with pytest.raises(ValueError) as error:
        check_random_labels(cfg)
    assert str(error.value) == (f'{loader}.dataset.pipeline.1: RandomLabel has num_classes=4, but '
                                'model.head.num_classes=3. Set both to the same number.')


@pytest.mark.parametrize('kind', [{}, dict(type='ClsDataPreprocessor'), dict(type='mmpretrain.ClsDataPreprocessor')])
@pytest.mark.parametrize('where', ['data_preprocessor', 'model.data_preprocessor'])
def test_num_classes_of_data_preprocessor_and_head(root, where, kind):
    cfg = run_config(root)
    cfg.merge_from_dict({where: dict(num_classes=3, **kind)})
    check_random_labels(cfg)
    cfg.merge_from_dict({f'{where}.num_classes': 10})
    with pytest.raises(ValueError) as error:
        check_random_labels(cfg)
    assert str(error.value) == f'{where}.num_classes=10, but model.head.num_classes=3. Set both to the same number.'


def test_data_preprocessors_that_say_nothing(root):
    cfg = run_config(root)
    cfg.data_preprocessor = dict(num_classes=10)
    for own in (dict(mean=[0, 0, 0]), None):  # the model's own comes before the config's
        cfg.model.data_preprocessor = own
        check_random_labels(cfg)
    cfg.model.data_preprocessor = dict(type='project.DataPreprocessor', num_classes=10)
    check_random_labels(cfg)
    del cfg.model['head']
    cfg.model.data_preprocessor = dict(num_classes=10)
    check_random_labels(cfg, loaders=())


def test_images_of_train_acc1_that_are_not_trained(root):
    cfg = run_config(root)

    def of(number, dataset):
        return dict(type='lbbt_mm.EvenSubset', num_samples=number, dataset=dataset)

    whole, evaluated = cfg.train_dataloader.dataset, cfg.val_cfg.train_dataloader.dataset
    for trained, subset in ((whole, of(4, evaluated)), (of(6, whole), of(6, evaluated)),
                            (of(6, whole), of(4, of(6, evaluated))), (of(6, whole), evaluated)):
        cfg.train_dataloader.dataset, cfg.val_cfg.train_dataloader.dataset = trained, subset
        check_random_labels(cfg)
    cfg.val_cfg.train_dataloader.dataset = of(4, evaluated)
    with pytest.raises(ValueError) as error:
        check_random_labels(cfg)
    assert str(error.value) == (
        'val_cfg.train_dataloader.dataset.num_samples=4, but train_dataloader.dataset.num_samples=6, so accuracy would be '
        'measured on images that are not trained. Set both to the same number.')


def test_num_classes_in_the_loader_of_train_acc1(root):
    cfg = run_config(root)
    cfg.val_cfg.train_dataloader.dataset.pipeline[1].num_classes = 4
    with pytest.raises(ValueError, match=r'val_cfg.train_dataloader.dataset.pipeline.1: RandomLabel has num_classes=4'):
        check_random_labels(cfg)


def test_inside_other_transforms(root):
    cfg = run_config(root, train_labels=(
        dict(type='RandomChoice', transforms=[[random_label(root, num_classes=5)], []]), ))
    with pytest.raises(ValueError, match=r'pipeline.1.transforms.0.0: RandomLabel has num_classes=5'):
        check_random_labels(cfg)


@pytest.mark.parametrize('before, passes', [
    ('LoadImageFromFile', True), ('mmpretrain.NumpyToPIL', True), ('mmpretrain.RandomResizedCrop', False),
    ('Resize', False), ('RandomFlip', False), ('ColorJitter', False), ('mmpretrain.AutoAugment', False)])
def test_pixels_are_read_before_they_change(root, before, passes):
    """A label would be another one in every epoch otherwise."""
    cfg = run_config(root, train_labels=(dict(type=before), random_label(root, num_classes=3, key='pixels')))
    del cfg.val_cfg['train_dataloader']
    if passes:
        check_random_labels(cfg)
    else:
        name = before.split('.')[-1]
        with pytest.raises(ValueError, match=rf"train_dataloader.dataset.pipeline.2: RandomLabel with key='pixels' comes "
                           f'after {name}, which changes the pixels'):
            check_random_labels(cfg)


@pytest.mark.parametrize('cfg', [dict(), dict(model='built'), dict(model=dict(head=None), val_cfg='built',
                                                                    train_dataloader='built')])
def test_parts_that_are_absent_or_built_already(cfg):
    check_random_labels(Config(cfg))


@pytest.mark.parametrize('name, value', [('seed', 4), ('ratio', 0.3), ('salt', 'b'), ('key', 'sample_idx')])
def test_train_acc1_is_measured_on_the_labels_that_are_trained(root, name, value):
    cfg = run_config(root)
    cfg.val_cfg.train_dataloader.dataset.pipeline[1][name] = value
    with pytest.raises(ValueError, match=r'val_cfg.train_dataloader.dataset.pipeline.1: RandomLabel has '
                       f'{name}={value!r}, that of train_dataloader {name}=.*labels that are not trained. Give both'):
        check_random_labels(cfg)
    cfg.val_cfg.train_dataloader.dataset.pipeline[1].ratio = 0
    check_random_labels(cfg)


@pytest.mark.parametrize('name, value', [('seed', 4), ('ratio', 0.3), ('exclude_true', True), ('draw', 'permute')])
def test_nor_on_another_exact_share_of_them(root, name, value):
    cfg = run_config(root, train_labels=())
    wrapped = dict(type='lbbt_mm.RandomLabelDataset', draw='uniform', num_classes=3, dataset=cfg.train_dataloader.dataset)
    cfg.train_dataloader.dataset = dict(wrapped)
    cfg.val_cfg = dict(type='lbbt_mm.BridgeValLoop', train_dataloader=dict(dataset=dict(wrapped)))
    check_random_labels(cfg)
    cfg.val_cfg.train_dataloader.dataset[name] = value
    with pytest.raises(ValueError, match=rf'val_cfg.train_dataloader.dataset: RandomLabelDataset has {name}={value!r}'):
        check_random_labels(cfg)
    cfg.train_dataloader.dataset.num_classes = 4
    with pytest.raises(ValueError, match='train_dataloader.dataset: RandomLabelDataset has num_classes=4, but model.head'):
        check_random_labels(cfg)


def below(cfg: Config, root: Path, **options) -> None:
    """Give the loader of Train-acc1 another root or other samples."""
    cfg.val_cfg.train_dataloader.dataset.pipeline[1].data_root = str(root)
    cfg.val_cfg.train_dataloader.dataset.update(options)


def test_another_data_root_gives_other_labels(root):
    cfg = run_config(root)
    below(cfg, root / 'train')
    with pytest.raises(ValueError) as error:
        check_random_labels(cfg)
    assert str(error.value) == (
        f"val_cfg.train_dataloader.dataset.pipeline.1: RandomLabel has data_root={str(root / 'train')!r}, that of "
        f'train_dataloader data_root={str(root)!r}, so accuracy would be measured on labels that are not trained. Give both '
        'the same settings.')
    for loader in (cfg.train_dataloader, cfg.val_cfg.train_dataloader):
        loader.dataset.pipeline[1].key = 'pixels'  # which has no root
    check_random_labels(cfg)


def test_the_same_data_root_written_otherwise(root, monkeypatch, tmp_path):
    (tmp_path / 'link').symlink_to(root)
    monkeypatch.chdir(root / 'train')
    for same in ('..', f'{root}/', f'{root}/train/..', tmp_path / 'link'):
        cfg = run_config(root)
        below(cfg, same)
        check_random_labels(cfg)
    cfg = run_config(root)
    cfg.train_dataloader.dataset.pipeline[1].data_root = 's3://bucket/data/'
    below(cfg, 's3://bucket/./data')
    check_random_labels(cfg)
    below(cfg, 's3://bucket/other')
    with pytest.raises(ValueError, match='RandomLabel has data_root=.s3://bucket/other., that of .*s3://bucket/data'):
        check_random_labels(cfg)


@pytest.mark.parametrize('indices, passes', [(None, True), (2, True), (-2, False), ([4, 2], False), (range(1, 900), False)])
def test_indices_number_samples_anew(root, indices, passes):
    cfg = run_config(root)
    for loader in (cfg.train_dataloader, cfg.val_cfg.train_dataloader):
        loader.dataset.pipeline[1].key = 'sample_idx'
    cfg.val_cfg.train_dataloader.dataset.indices = list(indices) if isinstance(indices, range) else indices
    if passes:
        return check_random_labels(cfg)
    with pytest.raises(ValueError, match=r"dataset.pipeline.1: RandomLabel has key='sample_idx' and its dataset "
                       r'indices=.*, that of train_dataloader indices=None, so accuracy would') as error:
        check_random_labels(cfg)
    assert len(str(error.value)) < 600
    for loader in (cfg.train_dataloader, cfg.val_cfg.train_dataloader):
        loader.dataset.pipeline[1].key = 'img_path'  # to which they make no difference
    check_random_labels(cfg)


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
        check_random_labels(cfg)
    assert str(error.value) == (
        f"{loader}.dataset.datasets.0 and {loader}.dataset.datasets.1: RandomLabel has key='sample_idx', seed=3 and "
        "salt='' in both, so different images would share labels. Give each dataset's RandomLabel a salt of its own, such "
        "as salt='a' and salt='b'.")


@pytest.mark.parametrize('labels', [
    (dict(salt='a'), dict(salt='b')), (dict(salt=1), {}), (dict(seed=1), dict(seed=2)), ({}, dict(key='img_path')),
    ({}, dict(ratio=0)), (dict(salt='a'), dict(salt='b'), dict(salt='a'))])
def test_concatenated_datasets_with_labels_of_their_own(root, labels):
    """The third is the first once more: its images keep their labels."""
    check_random_labels(concatenated(root, *labels))


def test_concatenated_parts_of_one_dataset(root):
    cfg = concatenated(root, {}, {})
    first, second = cfg.train_dataloader.dataset.datasets
    second.update(data_prefix='train', test_mode=True, indices=3)
    check_random_labels(cfg)
    second.indices = [3, 4]
    with pytest.raises(ValueError, match='different images would share labels'):
        check_random_labels(cfg)
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=dict(
        type='ConcatDataset', datasets=[first, dict(type='lbbt_mm.EvenSubset', num_samples=2, dataset=second)]))
    with pytest.raises(ValueError, match=r'dataset.dataset.datasets.0 and .*datasets.1.dataset: RandomLabel has key'):
        check_random_labels(cfg)


class TestExactShares:
    """RandomLabelDataset, whose labels are drawn by number too, and over all samples of its dataset."""

    @staticmethod
    def share(inner: dict, **options) -> dict:
        return dict(type='lbbt_mm.RandomLabelDataset', **{**dict(draw='uniform', num_classes=3, dataset=inner), **options})

    @staticmethod
    def subset(inner: dict, samples: int = 4) -> dict:
        return dict(type='lbbt_mm.EvenSubset', num_samples=samples, dataset=inner)

    def measured(self, root: Path, trained: dict, evaluated: dict) -> Config:
        """A run that trains one dataset and measures Train-acc1 on another."""
        cfg = run_config(root, train_labels=())
        cfg.train_dataloader.dataset = trained
        cfg.val_cfg = dict(type='lbbt_mm.BridgeValLoop', train_dataloader=dict(dataset=evaluated))
        return cfg

    def several(self, root: Path, *options: dict) -> list:
        """Exact shares of training images, of test images, and of the former once more."""
        return [self.share(folder_config(root, data_prefix=split), **one)
                for split, one in zip(('train', 'test', 'train'), options)]

    def test_two_in_a_concatenation_may_not_share_labels(self, root):
        cfg = run_config(root, train_labels=())
        cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=self.several(root, {}, {}))
        with pytest.raises(ValueError) as error:
            check_random_labels(cfg)
        place = 'train_dataloader.dataset.datasets'
        assert str(error.value) == (
            f"{place}.0 and {place}.1: RandomLabelDataset has key='sample_idx', seed=0 and salt='' in both, so different "
            "images would share labels. Give each dataset's RandomLabelDataset a salt of its own, such as salt='a' and "
            "salt='b'.")

    def test_nor_beside_a_transform(self, root):
        cfg = run_config(root, train_labels=())
        plain = folder_config(root, random_label(root, num_classes=3, key='sample_idx', seed=0), data_prefix='test')
        cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[*self.several(root, {}), plain])
        with pytest.raises(ValueError, match="each of .* has key='sample_idx', seed=0 and salt='' in both"):
            check_random_labels(cfg)

    @pytest.mark.parametrize('options', [
        (dict(salt='a'), dict(salt='b')), (dict(seed=1), {}), ({}, dict(ratio=0)), ({}, dict(data_root='images')),
        ({}, dict(draw='permute', num_classes=None)), (dict(salt='a'), dict(salt='b'), dict(salt='a', ratio=0.5))])
    def test_what_has_labels_of_its_own(self, root, options):
        cfg = run_config(root, train_labels=())
        cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=self.several(root, *options))
        cfg.val_cfg = {}
        check_random_labels(cfg)

    @pytest.mark.parametrize('kind', ['wrapper', 'transform'])
    def test_nor_in_two_loaders(self, root, kind):
        cfg = run_config(root, train_labels=())
        label = random_label(root, num_classes=3, key='sample_idx', seed=0)
        first, second = self.several(root, {}, {}) if kind == 'wrapper' else [
            folder_config(root, label, data_prefix=split) for split in ('train', 'test')]
        cfg.train_dataloader.dataset, cfg.val_dataloader.dataset, cfg.val_cfg = first, second, {}
        with pytest.raises(ValueError, match='^train_dataloader.dataset and val_dataloader.dataset: .* share labels'):
            check_random_labels(cfg)
        cfg.val_dataloader.dataset = dict(type='lbbt_mm.EvenSubset', num_samples=2, dataset=first)
        check_random_labels(cfg)

    @pytest.mark.parametrize('options', [
        dict(metainfo=dict(classes=['a', 'b', 'c'])), dict(backend_args=None), dict(with_label=True), dict(ann_file=''),
        dict(data_prefix=dict(img_path='train')), dict(data_prefix='./test/../train/'), dict(data_root='.'),
        dict(data_root='train', data_prefix=''), dict(type='CustomDataset'), dict(indices=4)])
    @pytest.mark.parametrize('kind', ['wrapper', 'transform'])
    def test_trained_images_are_validated_however_they_are_written(self, root, monkeypatch, kind, options):
        monkeypatch.chdir(root)
        cfg = self.in_two_loaders(root, kind, **options)
        check_random_labels(cfg)
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            loader.dataset = dict(type='ConcatDataset', datasets=[loader.dataset])
        check_random_labels(cfg)

    @pytest.mark.parametrize('options', [
        dict(data_prefix='test'), dict(data_prefix=dict(img_path='test')), dict(data_root='train'), dict(ann_file='a.txt'),
        dict(indices=[3, 4]), dict(type='OtherDataset')])
    @pytest.mark.parametrize('kind', ['wrapper', 'transform'])
    def test_what_selects_other_images_tells_them_apart(self, root, monkeypatch, kind, options):
        monkeypatch.chdir(root)
        with pytest.raises(ValueError, match='^train_dataloader.dataset and val_dataloader.dataset: .* share labels'):
            check_random_labels(self.in_two_loaders(root, kind, **options))

    @pytest.mark.parametrize('options, passes', [
        (dict(split='train', download=False), True), (dict(data_prefix='', test_mode=True), True),
        (dict(split='test'), False)])
    def test_splits_tell_them_apart_also_where_one_is_the_default(self, root, options, passes):
        cfg = self.in_two_loaders(root, 'transform')
        plain = dict(type='mmpretrain.CIFAR10', data_root='cifar', pipeline=cfg.train_dataloader.dataset.pipeline)
        cfg.train_dataloader.dataset, cfg.val_dataloader.dataset = plain, dict(plain, **options)
        if passes:
            return check_random_labels(cfg)
        with pytest.raises(ValueError, match='^train_dataloader.dataset and val_dataloader.dataset: .* share labels'):
            check_random_labels(cfg)

    def in_two_loaders(self, root: Path, kind: str, **options) -> Config:
        """A run that trains images and validates them, written otherwise, both with random labels."""
        cfg = run_config(root, train_labels=())
        label = random_label(root, num_classes=3, key='sample_idx', seed=0)
        plain = folder_config(root, *([] if kind == 'wrapper' else [label]), data_prefix='train')
        sets = [plain, dict(plain, **options)]
        sets = [self.share(one) for one in sets] if kind == 'wrapper' else sets
        cfg.train_dataloader.dataset, cfg.val_dataloader.dataset, cfg.val_cfg = *sets, {}
        return cfg

    @pytest.mark.parametrize('options', [dict(ratio=0.5), dict(ratio=0.5, data_root='/data'),
                                         dict(draw='permute', num_classes=None), dict(draw='permute', ratio=0.5)])
    @pytest.mark.parametrize('where', ['trained', 'evaluated'])
    def test_the_share_of_a_subset_is_another_one(self, root, options, where):
        inner = folder_config(root, data_prefix='train')
        sets = [self.share(self.subset(inner) if where == name else inner, **options) for name in ('trained', 'evaluated')]
        with pytest.raises(ValueError) as error:
            check_random_labels(self.measured(root, *sets))
        assert str(error.value).startswith('val_cfg.train_dataloader.dataset: RandomLabelDataset has draw=')
        assert 'labels that are not trained. Give both the same dataset, and put EvenSubset around' in str(error.value)
        check_random_labels(self.measured(root, sets[0], self.subset(sets[0], 2)))

    def test_all_labels_drawn_by_themselves_are_those_of_any_subset(self, root):
        inner = folder_config(root, data_prefix='train')
        check_random_labels(self.measured(root, self.share(inner), self.share(self.subset(inner))))
        numbered = self.share(dict(inner, indices=[3, 4]))
        with pytest.raises(ValueError, match=r"key='sample_idx' and its dataset indices=\[3, 4\]"):
            check_random_labels(self.measured(root, self.share(inner), numbered))
        paths = [dict(one, data_root=str(root)) for one in (self.share(inner), numbered)]
        check_random_labels(self.measured(root, *paths))

    def test_one_thing_written_in_two_ways(self, root):
        inner = folder_config(root, data_prefix='train')
        one = self.share(inner, ratio=0.5, salt=1, num_classes=None)
        other = self.share(dict(inner, data_root=f'{root}/train/..', test_mode=True, type='CustomDataset'), ratio=0.5,
                           salt='1', key='sample_idx', seed=0, exclude_true=False)
        check_random_labels(self.measured(root, one, other))

    def test_a_transform_gives_the_labels_of_all_and_of_no_exact_share(self, root):
        inner = folder_config(root, data_prefix='train')
        for ratio in (1.0, 0.5):
            options = dict(num_classes=3, seed=0, ratio=ratio)
            transform = folder_config(root, random_label(root, **options), data_prefix='train')
            cfg = self.measured(root, self.share(inner, data_root=str(root), **options), transform)
            if ratio == 1:
                check_random_labels(cfg)
            else:
                with pytest.raises(ValueError, match="RandomLabel has type='RandomLabel', that of train_dataloader type="):
                    check_random_labels(cfg)
        transform['pipeline'][1].update(ratio=1.0, seed=5)
        with pytest.raises(ValueError, match=r'dataset.pipeline.1: RandomLabel has seed=5, that of train_dataloader seed=0'):
            check_random_labels(self.measured(root, self.share(inner, data_root=str(root)), transform))
