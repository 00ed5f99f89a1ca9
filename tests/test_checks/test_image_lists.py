"""Lists of images with their labels: what is no label, no image, or nothing is one error before a run starts."""
from pathlib import Path

import pytest

from lbbt_mm.checks.image_files import Budget
from lbbt_mm.checks.image_lists import evenly_spaced
from tests.checked import check_images
from tests.image_folders import run_config, write_splits


@pytest.fixture
def root(tmp_path) -> Path:
    return write_splits(tmp_path)


def config(root: Path, change=lambda lines: lines, **options):
    """A run whose training images are those of a list."""
    lines = [f'{path.relative_to(root / "train")} {"abc".index(path.parent.name)}'
             for path in sorted((root / 'train').glob('*/*'))]
    (root / 'train.txt').write_text('\n'.join(change(lines)))
    cfg = run_config(root, train_labels=())
    cfg.train_dataloader.dataset.update(ann_file='train.txt', data_prefix='train', **options)
    return cfg


def test_a_list_that_fits_passes(root):
    check_images(config(root))
    check_images(config(root, lambda lines: [line.split()[0] for line in lines], with_label=False))


@pytest.mark.parametrize('change, message', [
    (lambda lines: [*lines[:2], 'a/x.png 3'], r"line 3 is 'a/x.png 3'; expected an image and its label, a whole number "
                                               r'\(0 to 2, for 3 classes'),
    (lambda lines: [lines[0], 'a/x.png one'], "line 2 is 'a/x.png one'"), (lambda lines: ['a/x.png -1'], 'line 1 is'),
    (lambda lines: ['a/x.png 1.0'], 'line 1 is'), (lambda lines: [*lines, '', lines[0]], "is ''; expected an image"),
    (lambda lines: [line.split()[0] for line in lines], 'line 1 is'), (lambda lines: [], 'is empty. Expected')])
def test_lines_that_are_no_image_with_a_label(root, change, message):
    with pytest.raises(ValueError, match=f'train_dataloader.dataset.ann_file: {root}/train.txt.*{message}'):
        check_images(config(root, change))


def test_more_labels_than_named_classes(root):
    cfg = config(root, lambda lines: [lines[0], lines[-1]], classes=['a', 'b'])
    del cfg.model.head['num_classes']
    with pytest.raises(ValueError, match='line 2 is .*0 to 1, for 2 classes'):
        check_images(cfg)


@pytest.mark.parametrize('with_label', [True, False])
def test_an_image_that_is_absent(root, with_label):
    with pytest.raises(ValueError, match=f'ann_file: 1 of 3 images are not there, first that of line 2 of {root}/train.txt: '
                       f'{root}/train/a/gone'):
        check_images(config(root, lambda lines: [lines[0], 'a/gone 1', lines[1]] if with_label else
                     [lines[0].split()[0], 'a/gone', lines[1].split()[0]], with_label=with_label))


def test_a_list_that_is_absent(root):
    cfg = config(root)
    (root / 'train.txt').unlink()
    with pytest.raises(FileNotFoundError, match='train.txt does not exist. Expected a list with an image and its label'):
        check_images(cfg)


def test_indices_beyond_the_list(root):
    with pytest.raises(ValueError, match='train_dataloader.dataset.indices: holds 99'):
        check_images(config(root, indices=[0, 99]))


def test_images_of_a_list_that_cannot_be_loaded(root):
    path = sorted((root / 'train').glob('*/*'))[3]
    path.write_bytes(b'')
    with pytest.raises(ValueError, match=f'ann_file: 1 of .* images are empty, first {path}'):
        check_images(config(root))


def test_of_many_folders_some_are_read():
    folders = [str(number) for number in range(1000)]
    assert len(evenly_spaced(folders, Budget())) == 40 and evenly_spaced(folders, Budget(seconds=None)) == folders
