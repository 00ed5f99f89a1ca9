"""tools/dataset_converters/caltech256_to_imagefolder.py on a small copy of Caltech-256's archive."""
import os
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from lbbt_mm.data_makers.caltech256_to_imagefolder import convert_caltech256 as convert
from tests.image_folders import build, folder_config, labels
from tests.tool_processes import REPO, finish, run_tool, start

TOOL = 'dataset_converters/caltech256_to_imagefolder.py'
COUNTS = {'001.ak47': 10, '002.american-flag': 7, '003.backpack': 3, '004.clutter': 4}
#: Images of each class for training, of the counts above: seven of ten, rounded
TRAIN = {'001.ak47': 7, '002.american-flag': 5, '003.backpack': 2, '004.clutter': 3}
WITHOUT = list(COUNTS)[:3]


def write(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(value).integers(0, 256, (40, 30, 3), dtype=np.uint8))


@pytest.fixture
def source(tmp_path) -> Path:
    """The folder of the archive, with a folder and a file that are known to lie in it."""
    root = tmp_path / '256_ObjectCategories'
    for label, (name, count) in enumerate(COUNTS.items(), start=1):
        for number in range(1, count + 1):
            write(root / name / f'{label:03d}_{number:04d}.jpg', 100 * label + number)
    write(root / '002.american-flag' / 'greg' / '002_0009.jpg', 0)
    (root / '003.backpack' / 'RENAME2').write_text('for i in *; do mv $i; done')
    return root


@pytest.fixture
def archive(source) -> Path:
    path = source.parent / '256_ObjectCategories.tar'
    with tarfile.open(path, 'w') as tar:
        tar.add(source, source.name)
    return path


def tree(folder: Path) -> dict:
    """Its files but the converter's mark."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*')
            if path.is_file() and path != folder / 'recipe.json'}


def placed(out: Path, split: str = 'train') -> dict:
    return {folder.name: sorted(image.name for image in folder.iterdir()) for folder in sorted((out / split).iterdir())}


def assert_is_split(out: Path, source: Path, classes: list) -> None:
    """Each image is once in one of the splits, as it was, seven of ten in training."""
    found = tree(out)
    assert found.pop('classes.txt').decode().split() == [name.split('.')[1] for name in classes]
    expected = {f'{name}/{path.name}': path.read_bytes() for name in classes for path in (source / name).glob('*.jpg')}
    assert {path.split('/', 1)[1]: content for path, content in found.items()} == expected and len(found) == len(expected)
    assert {name: len(images) for name, images in placed(out).items()} == {name: TRAIN[name] for name in classes}


@pytest.mark.parametrize('flags, linked', [((), True), (('--copy', ), False)])
def test_a_folder_is_linked_or_copied(source, tmp_path, flags, linked):
    out = tmp_path / 'data' / 'caltech'
    returncode, output = run_tool(TOOL, source, out, *flags)
    assert returncode == 0, output
    assert f'3 classes, 14 training and 6 test images in {out}' in output
    assert "2 left out, which are no images: '002.american-flag/greg', '003.backpack/RENAME2'" in output
    assert_is_split(out, source, WITHOUT)
    for path in (out / 'train' / '001.ak47').iterdir():
        assert os.path.samefile(path, source / '001.ak47' / path.name) == linked
    assert [path.name for path in out.parent.iterdir()] == ['caltech'], 'no temporary folder stays'


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_an_archive_gives_the_same_data_set(source, tmp_path, mode, capsys):
    path = tmp_path / 'downloaded.tar'
    with tarfile.open(path, mode) as tar:
        tar.add(source, './256_ObjectCategories')
    counts = convert(path, tmp_path / 'out')
    assert counts == dict(classes=3, train=14, test=6)
    said = capsys.readouterr().out
    assert "2 left out, which are no images: '002.american-flag/greg', '003.backpack/RENAME2'" in said
    assert_is_split(tmp_path / 'out', source, WITHOUT)
    assert convert(source, tmp_path / 'out', copy=True) == counts, 'it is the data set of the folder'
    assert 'holds this data set already: kept' in capsys.readouterr().out


def test_clutter_is_kept_where_it_is_asked_for(source, tmp_path):
    assert convert(source, tmp_path / 'out', clutter=True) == dict(classes=4, train=17, test=7)
    assert_is_split(tmp_path / 'out', source, list(COUNTS))


def test_mmpretrain_reads_it(archive, tmp_path):
    convert(archive, tmp_path / 'out')
    train, test = (build(folder_config(tmp_path / 'out', data_prefix=split)) for split in ('train', 'test'))
    assert train.metainfo['classes'] == test.metainfo['classes'] == tuple(WITHOUT)
    assert labels(train) == 7 * [0] + 5 * [1] + 2 * [2] and labels(test) == 3 * [0] + 2 * [1] + [2]
    named = build(folder_config(tmp_path / 'out', data_prefix='test', classes=str(tmp_path / 'out' / 'classes.txt')))
    assert named.metainfo['classes'] == ('ak47', 'american-flag', 'backpack') and labels(named) == labels(test)


class TestSplit:

    def test_it_follows_from_the_seed(self, source, tmp_path):
        for name, seed in (('one', 0), ('again', 0), ('other', 1)):
            convert(source, tmp_path / name, seed=seed)
        one, again, other = (placed(tmp_path / name) for name in ('one', 'again', 'other'))
        assert one == again and one != other
        assert {name: len(images) for name, images in other.items()} == {name: len(images) for name, images in one.items()}

    def test_it_is_this_one(self, source, tmp_path):
        """Under every release, on every machine."""
        convert(source, tmp_path / 'out')
        assert placed(tmp_path / 'out', 'test')['001.ak47'] == ['001_0006.jpg', '001_0008.jpg', '001_0010.jpg']

    def test_it_does_not_follow_from_the_order_of_the_disk(self, source, tmp_path, monkeypatch):
        convert(source, tmp_path / 'one')
        iterdir = Path.iterdir
        monkeypatch.setattr(Path, 'iterdir', lambda self: reversed(sorted(iterdir(self))))
        convert(source, tmp_path / 'other')
        assert placed(tmp_path / 'one') == placed(tmp_path / 'other')

    def test_nor_from_the_other_classes_or_what_the_images_show(self, source, tmp_path):
        convert(source, tmp_path / 'one')
        write(source / '002.american-flag' / '002_0099.jpg', 9)
        write(source / '001.ak47' / '001_0001.jpg', 8)
        convert(source, tmp_path / 'other')
        one, other = (placed(tmp_path / name) for name in ('one', 'other'))
        assert one['001.ak47'] == other['001.ak47'] and one['003.backpack'] == other['003.backpack']


def test_a_target_that_holds_something_else_is_left_alone(source, tmp_path, capsys):
    out = tmp_path / 'out'
    counts = convert(source, out)
    before = tree(out)
    assert convert(source, out) == counts and 'out holds this data set already: kept' in capsys.readouterr().out
    with pytest.raises(FileExistsError, match='out holds another data set of ours: seed is 0 there, 1 asked'):
        convert(source, out, seed=1)
    with pytest.raises(FileExistsError, match='256_ObjectCategories exists and is not an empty folder'):
        convert(source, source)
    assert tree(out) == before


@pytest.mark.parametrize('is_archive', [False, True])
@pytest.mark.parametrize('damage', [lambda data: data[:len(data) // 2], lambda data: b'<html>', lambda data: b''])
def test_images_that_cannot_be_read_are_one_error(source, tmp_path, is_archive, damage):
    for name in ('002.american-flag/002_0003.jpg', '001.ak47/001_0004.jpg'):
        (source / name).write_bytes(damage((source / name).read_bytes()))
    given = shutil.make_archive(str(tmp_path / 'a'), 'tar', source.parent, source.name) if is_archive else source
    with pytest.raises(ValueError, match='2 of 20 images cannot be read to their end, for example 001.ak47/001_0004.jpg. '
                                         'Nothing was written: fetch the archive again'):
        convert(given, tmp_path / 'out')
    assert not (tmp_path / 'out').exists() and not (tmp_path / 'out.lbbt_mm.partial').exists()


def test_an_interrupted_run_leaves_nothing_that_looks_complete(source, tmp_path, monkeypatch):
    link, calls = os.link, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        link(*arguments)

    monkeypatch.setattr('os.link', interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / 'out')
    assert not (tmp_path / 'out').exists() and not (tmp_path / 'out.lbbt_mm.partial').exists()
    assert len(list(source.rglob('*.jpg'))) == 25


@pytest.mark.parametrize('absent, message', [
    ('002.american-flag', 'class 002 is not there, or is there twice; found 003.backpack in its place'),
    ('001.ak47', 'class 001 is not there, or is there twice; found 002.american-flag in its place'),
    ('.', '256_ObjectCategories: no such file or folder. Expected 256_ObjectCategories.tar, or the folder'),
])
def test_something_that_is_absent(source, tmp_path, absent, message):
    (source / absent).rename(tmp_path / 'gone')
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        convert(source, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_classes_that_make_no_sense(source, tmp_path):
    with pytest.raises(FileNotFoundError, match='has no class folders'):
        convert(source / '001.ak47', tmp_path / 'out')
    (source / '003.bag').mkdir()
    with pytest.raises(ValueError, match='class 004 is not there, or is there twice; found 003.bag in its place'):
        convert(source, tmp_path / 'out')
    (source / '003.bag').rmdir()
    (source / '005.empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'005.empty has no \*.jpg'):
        convert(source, tmp_path / 'out')
    (source / '005.empty').rmdir()
    shutil.rmtree(source / '004.clutter')
    with pytest.raises(FileNotFoundError, match='no class of clutter; the last one is 003.backpack. Leave out --clutter'):
        convert(source, tmp_path / 'out', clutter=True)
    assert convert(source, tmp_path / 'out')['classes'] == 3


def test_the_folder_around_the_folder_will_do(source, tmp_path):
    assert convert(source.parent, tmp_path / 'out')['train'] == 14


def test_links_of_a_folder_are_followed_and_those_of_an_archive_are_refused(source, tmp_path):
    image = source / '001.ak47' / '001_0001.jpg'
    image.rename(tmp_path / 'elsewhere')
    image.symlink_to(tmp_path / 'elsewhere')
    convert(source, tmp_path / 'out')
    path, = (tmp_path / 'out').rglob('001_0001.jpg')
    assert not path.is_symlink() and os.path.samefile(path, tmp_path / 'elsewhere')
    image.unlink()
    image.symlink_to('001_0002.jpg')
    given = shutil.make_archive(str(tmp_path / 'a'), 'tar', source.parent, source.name)
    with pytest.raises(ValueError, match='001.ak47/001_0001.jpg is no file, but a link or a folder'):
        convert(given, tmp_path / 'other')


def test_an_archive_that_leads_elsewhere_writes_nothing(archive, tmp_path):
    with tarfile.open(archive, 'a') as tar:
        tar.add(__file__, '256_ObjectCategories/001.ak47/../../../evil.jpg')
    with pytest.raises(ValueError, match='evil.jpg.* is no member of a safe archive'):
        convert(archive, tmp_path / 'data' / 'out')
    assert not list(tmp_path.rglob('evil.jpg')) and not (tmp_path / 'data').exists()


def test_the_command_line(tmp_path):
    helped = start('python', REPO / 'tools' / TOOL, '--help')
    failed = start('python', REPO / 'tools' / TOOL, tmp_path, tmp_path / 'out')
    returncode, output = finish(helped)
    assert returncode == 0 and '--clutter' in output and '--seed' in output and 'test/CLASS/' in output
    returncode, output = finish(failed)
    assert returncode == 2 and output.startswith(f'{tmp_path} has no class folders. Expected 256_ObjectCategories.tar')
