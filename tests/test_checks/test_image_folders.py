"""Image folders and head that do not agree are one error before a run starts."""
import re
import shutil
from pathlib import Path

import pytest

from lbbt_mm.checks.image_files import SAMPLE
from lbbt_mm.checks.image_folders import check_labels, label_problems
from tests.checked import check_images, said
from tests.image_folders import folder_config, random_label, run_config, write_splits


@pytest.fixture
def root(tmp_path) -> Path:
    return write_splits(tmp_path)


def test_a_run_that_agrees_passes(root):
    check_labels(run_config(root))
    check_labels(run_config(root, train_labels=()))


def test_folders_of_some_of_the_model_s_classes_are_matched_by_their_names(root):
    cfg = run_config(root, num_classes=5, train_labels=())
    cfg.pop('val_cfg')
    with pytest.raises(ValueError, match='has 3 class folders, but model.head.num_classes=5'):
        check_labels(cfg, ['val_dataloader'])
    cfg.val_dataloader.dataset = dict(type='lbbt_mm.ClassSubset', classes=[*'abcde'], dataset=cfg.val_dataloader.dataset)
    check_labels(cfg, ['val_dataloader'])
    assert not list(label_problems(cfg, ['val_dataloader'], SAMPLE))
    shutil.rmtree(root / 'test')
    with pytest.raises(FileNotFoundError, match='val_dataloader.dataset.dataset: .*test is not a folder'):
        list(label_problems(cfg, ['val_dataloader'], SAMPLE))


@pytest.mark.parametrize('wrap, where', [
    (lambda inner: dict(type='RepeatDataset', times=2, dataset=inner), 'dataset.dataset'),
    (lambda inner: dict(type='lbbt_mm.EvenSubset', num_samples=2, dataset=inner), 'dataset.dataset'),
    (lambda inner: dict(type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[inner, inner])),
     'dataset.dataset.datasets.0'),
])
def test_inside_wrappers(root, wrap, where):
    cfg = run_config(root, num_classes=4)
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    with pytest.raises(ValueError) as error:
        check_labels(cfg)
    assert str(error.value).startswith(f'train_dataloader.{where}.pipeline.1: RandomLabel has num_classes=3, but')
    shutil.rmtree(root / 'train')
    cfg = run_config(root)
    cfg.train_dataloader.dataset = wrap(folder_config(root, data_prefix='train'))
    with pytest.raises(FileNotFoundError) as error:
        check_labels(cfg)
    assert str(error.value).startswith(f'train_dataloader.{where}: ')


def test_a_type_that_is_a_class(root):
    """As mmengine's pure Python configs have it."""
    from mmpretrain.datasets import CustomDataset

    from lbbt_mm.datasets import RandomLabel
    cfg = run_config(root)
    cfg.train_dataloader.dataset.pipeline[1].update(type=RandomLabel, num_classes=4)
    with pytest.raises(ValueError, match='RandomLabel has num_classes=4'):
        check_labels(cfg)
    cfg.train_dataloader.dataset.pipeline[1].num_classes = 3
    cfg.train_dataloader.dataset.update(type=CustomDataset, data_prefix='absent')
    with pytest.raises(FileNotFoundError):
        check_labels(cfg)


@pytest.mark.parametrize('options', [
    dict(type='mmsel.CustomDataset'), dict(type='project.datasets.CustomDataset'), dict(type='CustomDataset')])
def test_a_custom_dataset_of_another_project_is_passed_over(root, options):
    cfg = run_config(root)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.val_cfg.train_dataloader):
        loader.dataset.update(data_prefix='absent', **options)
    for scope in (None, 'mmsel'):
        cfg.default_scope = scope
        check_labels(cfg)
    if options['type'] == 'CustomDataset':
        cfg.default_scope = 'mmpretrain'
        with pytest.raises(FileNotFoundError):
            check_labels(cfg)


def test_a_custom_dataset_class_of_another_project_is_passed_over(root):
    cfg = run_config(root)
    cfg.default_scope = 'mmpretrain'  # says nothing about a class
    cfg.train_dataloader.dataset.update(type=type('CustomDataset', (), {}), data_prefix='absent')
    check_labels(cfg)


@pytest.mark.parametrize('loader, split', [('train_dataloader', 'train'), ('val_dataloader', 'test')])
def test_an_absent_folder(root, monkeypatch, loader, split):
    shutil.rmtree(root / split)
    for value in ('/somewhere', None):
        monkeypatch.setenv('LBBT_DATA_ROOT', value) if value else monkeypatch.delenv('LBBT_DATA_ROOT')
        with pytest.raises(FileNotFoundError) as error:
            check_labels(run_config(root))
        assert str(error.value) == (
            f'{loader}.dataset: {root / split} is not a folder. Expected images as {split}/CLASS/image.jpg below data_root. '
            f'Correct data_root and data_prefix, or LBBT_DATA_ROOT (now {value or "unset"}).')


def test_the_loader_of_train_acc1_needs_its_folder_too(root):
    cfg = run_config(root)
    cfg.val_cfg.train_dataloader.dataset.data_prefix = dict(img_path='trian')
    with pytest.raises(FileNotFoundError, match='val_cfg.train_dataloader.dataset: .*trian is not a folder'):
        check_labels(cfg)
    check_labels(cfg, loaders=('train_dataloader', ))


def test_loaders_that_the_run_does_not_use(root):
    with pytest.raises(FileNotFoundError, match='test_dataloader.dataset: .*absent is not a folder'):
        check_labels(run_config(root), loaders=('test_dataloader', ))


def test_a_data_root_that_is_the_image_folder_itself(root):
    cfg = run_config(root)
    cfg.train_dataloader.dataset.update(data_root='', data_prefix=str(root / 'train'))
    check_labels(cfg)
    cfg.train_dataloader.dataset.update(data_root=f'{root}/train/', data_prefix='')
    check_labels(cfg)


def test_fewer_or_more_folders_than_classes(root):
    cfg = run_config(root, num_classes=4, train_labels=())
    with pytest.raises(ValueError) as error:
        check_labels(cfg)
    assert str(error.value) == (f'train_dataloader.dataset: {root / "train"} has 3 class folders, but '
                                'model.head.num_classes=4. Set num_classes (of the head, of RandomLabel '
                                'and of data_preprocessor) to 3, or '
                                'correct data_root.')
    cfg = run_config(root, num_classes=2, train_labels=(random_label(root, num_classes=2), ))
    with pytest.raises(ValueError, match='has 3 class folders, but model.head.num_classes=2'):
        check_labels(cfg)


def test_random_labels_may_have_more_classes_than_there_are_folders(root):
    labels = random_label(root, num_classes=7)
    check_labels(run_config(root, num_classes=7, train_labels=(labels, )), loaders=('train_dataloader', ))
    with pytest.raises(ValueError, match='val_dataloader.dataset: .* has 3 class folders, but model.head.num_classes=7'):
        check_labels(run_config(root, num_classes=7, train_labels=(labels, )))


@pytest.mark.parametrize('given', [dict(classes=('x', 'y', 'z')), dict(metainfo=dict(classes=('x', 'y', 'z')))])
def test_classes_may_have_names_of_their_own_but_folders_give_the_labels(root, given):
    """mmpretrain takes any names of that number, and numbers the folders of each split by their order."""
    def named(num_classes):
        cfg = run_config(root, num_classes=num_classes, train_labels=())
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.val_cfg.train_dataloader):
            loader.dataset.update(given)
        return cfg

    cfg = named(3)
    check_labels(cfg)
    with pytest.raises(ValueError, match='has 3 class folders, but model.head.num_classes=4'):
        check_labels(named(4))
    (root / 'test' / 'c').rename(root / 'test' / 'aa')
    with pytest.raises(ValueError, match="are not those of .*'aa'.*whatever the classes are named"):
        check_labels(cfg)


@pytest.mark.parametrize('given, message', [
    (['x', 'y'], "has 3 class folders, among them 'a', and 2 classes are named"),
    (['c', 'b', 'a'], "classes names 'c' at place 1, where the folder 'a' of .* comes")])
def test_named_classes_that_are_not_those_of_the_folders(root, given, message, tmp_path):
    (tmp_path / 'classes.txt').write_text('\n'.join(given))
    for classes in (given, str(tmp_path / 'classes.txt')):
        cfg = run_config(root)
        cfg.train_dataloader.dataset.metainfo = dict(classes=classes)
        with pytest.raises(ValueError, match=message):
            check_labels(cfg)


@pytest.mark.parametrize('name', ['@eaDir', '#recycle', 'lost+found', '.git', '__pycache__'])
def test_folders_of_desktops_and_storages_are_no_classes(root, name):
    (root / 'train' / name).mkdir()
    with pytest.raises(ValueError, match=f'train_dataloader.dataset: .*{re.escape(name)} would be a class.*remove it.$'):
        check_labels(run_config(root))


def test_images_that_are_not_listed_and_classes_without_images(root):
    images = sorted((root / 'train' / 'a').iterdir())
    for path in images:
        path.rename(path.with_suffix('.webp'))
    lines = said(run_config(root), of=label_problems)
    total = sum(1 for _ in (root / 'train').glob('*/*'))
    assert any(f'{len(images)} of {total} images are left out, first {images[0].with_suffix(".webp")}' in line
               for line in lines), lines
    assert any("1 of 3 class folders hold no image, first 'a'" in line for line in lines)


def test_class_folders_that_differ_between_training_and_test(root):
    """mmpretrain numbers the folders of each by their order."""
    (root / 'test' / 'c').rename(root / 'test' / '0')
    with pytest.raises(ValueError, match='val_dataloader.dataset: the class folders of .*test are not those of '
                       "train_dataloader.dataset .only one of them has '0'.*equal labels would mean different classes"):
        check_labels(run_config(root))


@pytest.mark.parametrize('options', [
    dict(data_root='s3://bucket/data'), dict(ann_file='meta/train.txt'), dict(with_label=False), dict(type='ImageNet')])
def test_other_and_remote_data_sets_are_passed_over(root, options):
    cfg = run_config(root)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.val_cfg.train_dataloader):
        loader.dataset.update(data_prefix='absent', **options)
    check_labels(cfg)


@pytest.mark.parametrize('name', ['.ipynb_checkpoints', '__MACOSX'])
def test_a_hidden_folder_that_would_be_a_class(root, name):
    """mmpretrain counts it, and it moves the labels of those after it."""
    for split in ('train', 'test'):
        (root / split / name).mkdir()
    with pytest.raises(ValueError, match=f'train_dataloader.dataset: {root}/train/{name} would be a class, with the label '
                       '0.*remove it'):
        check_labels(run_config(root))


def test_named_classes_in_another_order(root):
    cfg = run_config(root)
    cfg.train_dataloader.dataset.classes = ['a', 'b', 'c']
    cfg.val_dataloader.dataset.classes = ['b', 'a', 'c']
    with pytest.raises(ValueError, match="val_dataloader.dataset: classes names 'b' at place 1, where the folder 'a'"):
        check_labels(cfg)


@pytest.mark.parametrize('damage, message', [
    (lambda path: path.write_bytes(b''), 'images are empty, first {}'),
    (lambda path: path.write_bytes(path.read_bytes()[:60]), 'images cannot be decoded to their end, first {}')])
def test_images_that_cannot_be_loaded(root, damage, message):
    path = sorted((root / 'train').glob('*/*'))[3]
    damage(path)
    with pytest.raises(ValueError, match='train_dataloader.dataset: 1 of .* ' + message.format(path)):
        check_images(run_config(root))
