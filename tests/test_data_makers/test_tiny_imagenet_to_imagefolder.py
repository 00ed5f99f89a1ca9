"""tools/dataset_converters/tiny_imagenet_to_imagefolder.py on a small copy of TinyImageNet's layout."""
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from lbbt_mm.data_makers.tiny_imagenet_to_imagefolder import convert_tiny_imagenet as convert
from tests.image_folders import build, folder_config, labels
from tests.tool_processes import REPO, finish, run_tool, start

TOOL = 'dataset_converters/tiny_imagenet_to_imagefolder.py'
WNIDS = ['n02', 'n01', 'n03']
VALIDATION = ['n03', 'n01', 'n03', 'n02']


@pytest.fixture
def source(tmp_path) -> Path:
    """The layout of the archive: boxes beside the training images, one folder of validation images, unlabelled tests."""
    root = tmp_path / 'tiny-imagenet-200'
    value = iter(range(0, 250, 10))
    for wnid in WNIDS:
        for number in range(2):
            write(root / 'train' / wnid / 'images' / f'{wnid}_{number}.JPEG', next(value))
        (root / 'train' / wnid / f'{wnid}_boxes.txt').write_text(f'{wnid}_0.JPEG\t0\t0\t63\t63\n')
    for number in range(len(VALIDATION)):
        write(root / 'val' / 'images' / f'val_{number}.JPEG', next(value))
    (root / 'val' / 'val_annotations.txt').write_text(
        ''.join(f'val_{number}.JPEG\t{wnid}\t0\t32\t44\t62\n' for number, wnid in enumerate(VALIDATION)))
    write(root / 'test' / 'images' / 'test_0.JPEG', 0)
    (root / 'wnids.txt').write_text('\n'.join(WNIDS) + '\n')
    return root


def write(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), value, dtype=np.uint8))


def tree(folder: Path) -> dict:
    """Its files but the converter's mark."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*')
            if path.is_file() and path != folder / 'recipe.json'}


@pytest.mark.parametrize('flags, linked', [((), True), (('--copy', ), False)])
def test_every_image_goes_to_the_folder_of_its_class(source, tmp_path, flags, linked):
    out = tmp_path / 'data' / 'tiny'
    returncode, output = run_tool(TOOL, source, out, *flags)
    assert returncode == 0, output
    assert f'3 classes, 6 training and 4 test images in {out}' in output
    expected = {f'train/{wnid}/{wnid}_{number}.JPEG': source / 'train' / wnid / 'images' / f'{wnid}_{number}.JPEG'
                for wnid in WNIDS for number in range(2)}
    expected.update({f'test/{wnid}/val_{number}.JPEG': source / 'val' / 'images' / f'val_{number}.JPEG'
                     for number, wnid in enumerate(VALIDATION)})
    assert tree(out) == {name: path.read_bytes() for name, path in expected.items()}
    for name, path in expected.items():
        assert os.path.samefile(out / name, path) == linked
    assert [path.name for path in out.parent.iterdir()] == ['tiny'], 'no temporary folder stays'


def test_mmpretrain_reads_it(source, tmp_path):
    assert convert(source, tmp_path / 'out') == dict(classes=3, train=6, test=4)
    train, test = (build(folder_config(tmp_path / 'out', data_prefix=split)) for split in ('train', 'test'))
    assert train.metainfo['classes'] == test.metainfo['classes'] == ('n01', 'n02', 'n03')
    assert labels(train) == [0, 0, 1, 1, 2, 2] and labels(test) == [0, 1, 2, 2]


def test_a_class_without_test_images_keeps_its_place(source, tmp_path):
    path = source / 'val' / 'val_annotations.txt'
    path.write_text(path.read_text().replace('n01', 'n02'))
    convert(source, tmp_path / 'out')
    test = build(folder_config(tmp_path / 'out', data_prefix='test'))
    assert test.metainfo['classes'] == ('n01', 'n02', 'n03') and labels(test) == [1, 1, 2, 2]


def test_images_that_are_links_are_followed(source, tmp_path):
    image = source / 'val' / 'images' / 'val_0.JPEG'
    image.rename(tmp_path / 'elsewhere')
    image.symlink_to(tmp_path / 'elsewhere')
    convert(source, tmp_path / 'out')
    placed = tmp_path / 'out' / 'test' / 'n03' / 'val_0.JPEG'
    assert not placed.is_symlink() and os.path.samefile(placed, tmp_path / 'elsewhere')


def test_a_target_that_is_not_empty_is_left_alone(source, tmp_path, capsys):
    out = tmp_path / 'out'
    out.mkdir()
    counts = convert(source, out)
    before = tree(out)
    assert convert(source, out) == counts and 'out holds this data set already: kept' in capsys.readouterr().out
    with pytest.raises(FileExistsError, match='out holds another data set of ours: copy is False there, True asked'):
        convert(source, out, copy=True)
    write(source / 'train' / 'n02' / 'images' / 'n02_9.JPEG', 3)
    with pytest.raises(FileExistsError, match='out holds another data set of ours: train is 6 there, 7 asked'):
        convert(source, out)
    with pytest.raises(FileExistsError, match='wnids.txt is not a folder'):
        convert(source, source / 'wnids.txt')
    with pytest.raises(FileExistsError, match='tiny-imagenet-200 exists and is not an empty folder'):
        convert(source, source)
    assert tree(out) == before


def test_a_set_of_other_images_under_the_same_names_is_another_one(source, tmp_path):
    convert(source, tmp_path / 'out', copy=True)
    image = source / 'val' / 'images' / 'val_0.JPEG'
    image.write_bytes(image.read_bytes() + b'more')
    with pytest.raises(FileExistsError, match='another data set of ours: images is'):
        convert(source, tmp_path / 'out', copy=True)


def test_an_interrupted_run_leaves_nothing_that_looks_complete(source, tmp_path, monkeypatch):
    out, placed, link = tmp_path / 'out', [], os.link

    def interrupted(*arguments):
        placed.append(arguments)
        if len(placed) == 5:
            raise KeyboardInterrupt
        link(*arguments)

    monkeypatch.setattr('os.link', interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(source, out)
    assert not out.exists() and not (tmp_path / 'out.lbbt_mm.partial').exists()
    assert all(image.is_file() for image in source.rglob('*.JPEG')) and len(list(source.rglob('*.JPEG'))) == 11
    monkeypatch.setattr('os.link', link)
    convert(source, out)
    assert len(tree(out)) == 10 and not (tmp_path / 'out.lbbt_mm.partial').exists()


def test_another_file_system(source, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(18, 'Invalid cross-device link')

    monkeypatch.setattr('os.link', refuse)
    with pytest.raises(OSError, match='n01_0.JPEG cannot be linked to .*Invalid cross-device link.*add --copy'):
        convert(source, tmp_path / 'out')
    convert(source, tmp_path / 'out', copy=True)


@pytest.mark.parametrize('absent, message', [
    ('val/val_annotations.txt', 'val_annotations.txt does not exist. Expected the classes of the validation images'),
    ('val/images/val_2.JPEG', r'val_2.JPEG does not exist .1 missing in all., but val_annotations.txt lists it'),
    ('train', 'train has no class folders. Expected the unpacked tiny-imagenet-200'),
    ('train/n02', r'n02/images has no \*.JPEG'),  # wnids.txt lists it
    ('train/n02/images', r'n02/images has no \*.JPEG'),
])
def test_something_that_is_absent(source, tmp_path, absent, message):
    (source / absent).rename(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match=message):
        convert(source, tmp_path / 'out')
    assert not (tmp_path / 'out').exists() and not (tmp_path / 'out.lbbt_mm.partial').exists()


def test_a_validation_image_without_an_annotation(source, tmp_path):
    write(source / 'val' / 'images' / 'val_9.JPEG', 0)
    with pytest.raises(ValueError, match='val_9.JPEG is not in val_annotations.txt .1 such'):
        convert(source, tmp_path / 'out')


@pytest.mark.parametrize('line', ['val_3.JPEG\tn99\t0\t0\t1\t1', 'val_3.JPEG n02', 'val_0.JPEG\tn02\t0\t0\t1\t1', ''])
def test_annotations_that_make_no_sense(source, tmp_path, line):
    path = source / 'val' / 'val_annotations.txt'
    path.write_text('\n'.join([*path.read_text().splitlines()[:3], line]) + '\n')
    with pytest.raises(ValueError, match='val_annotations.txt, line 4: .*Expected IMAGE<tab>WNID'):
        convert(source, tmp_path / 'out')


@pytest.mark.parametrize('name', ('../val_0.JPEG', '/etc/passwd', 'images/val_0.JPEG', '..', '', '.', '..\\val_0.JPEG'))
@pytest.mark.parametrize('field', (0, 1))
def test_a_name_that_leads_elsewhere_is_refused(source, tmp_path, name, field):
    path = source / 'val' / 'val_annotations.txt'
    lines = path.read_text().splitlines()
    fields = lines[1].split('\t')
    fields[field] = name
    path.write_text('\n'.join([lines[0], '\t'.join(fields), *lines[2:]]))
    with pytest.raises(ValueError, match='val_annotations.txt, line 2: .* is not the plain name of a file or folder'):
        convert(source, tmp_path / 'out')
    path.write_text('\n'.join(lines))
    (source / 'wnids.txt').write_text('n01\n../../n04\n')
    with pytest.raises(ValueError, match="wnids.txt: '../../n04' is not the plain name"):
        convert(source, tmp_path / 'out')
    assert not (tmp_path / 'out').exists() and not (tmp_path / 'out.lbbt_mm.partial').exists()


def test_even_where_such_a_file_is_there(source, tmp_path):
    """The images are looked up by what the folder holds, so only the check of the name says what is wrong."""
    (source / 'val' / 'elsewhere.JPEG').write_bytes((source / 'val' / 'images' / 'val_0.JPEG').read_bytes())
    path = source / 'val' / 'val_annotations.txt'
    path.write_text(path.read_text() + '../elsewhere.JPEG\tn01\t0\t32\t44\t62\n')
    returncode, output = run_tool(TOOL, source, tmp_path / 'out')
    assert returncode == 2 and 'Traceback' not in output
    assert "line 5: '../elsewhere.JPEG' is not the plain name of a file or folder" in output


def test_the_command_line(source, tmp_path):
    helped = start('python', REPO / 'tools' / TOOL, '--help')
    failed = start('python', REPO / 'tools' / TOOL, tmp_path, tmp_path / 'out')
    returncode, output = finish(helped)
    assert returncode == 0 and '--copy' in output and 'test/WNID/*.JPEG' in output
    returncode, output = finish(failed)
    assert returncode == 2 and output.startswith(f'{tmp_path}/train has no class folders')
