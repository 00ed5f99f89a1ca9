"""DataRoot: one relative path for an image, however root and image are written."""
import os
import unicodedata
from pathlib import Path

import pytest

from lbbt_mm.datasets.data_root import DataRoot


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / 'data' / 'train' / 'cat').mkdir(parents=True)
    return tmp_path / 'data'


class TestFolders:

    @pytest.mark.parametrize('image', ['train/cat/1.png', 'train/../train/cat/1.png', './train//cat/1.png'])
    def test_detours_in_the_image_s_path_do_not_count(self, root, image):
        assert DataRoot(root).relative(f'{root}/{image}') == 'train/cat/1.png'

    def test_detours_and_a_slash_in_the_root_do_not_count(self, root):
        for written in (f'{root}/', f'{root}/train/..', root):
            assert DataRoot(written).relative(root / 'train' / 'cat' / '1.png') == 'train/cat/1.png'

    def test_both_may_be_relative_to_the_current_folder(self, root, monkeypatch):
        monkeypatch.chdir(root.parent)
        assert DataRoot('data').relative('data/train/cat/1.png') == 'train/cat/1.png'
        assert DataRoot('data').relative(root / 'train' / 'cat' / '1.png') == 'train/cat/1.png'

    def test_the_home_folder_may_be_a_tilde(self, root, monkeypatch):
        monkeypatch.setenv('HOME', str(root.parent))
        assert DataRoot('~/data').relative('~/data/1.png') == DataRoot('~/data').relative(root / '1.png') == '1.png'

    def test_the_image_need_not_exist(self, root):
        assert DataRoot(root).relative(root / 'gone' / '1.png') == 'gone/1.png'

    @pytest.mark.parametrize('image', ['/elsewhere/1.png', 's3://bucket/data/1.png'])
    def test_an_image_that_lies_elsewhere_is_refused(self, root, image):
        with pytest.raises(ValueError, match='is not below data_root.*Set data_root to the folder'):
            DataRoot(root).relative(image)

    def test_a_folder_whose_name_begins_alike_is_elsewhere(self, root):
        with pytest.raises(ValueError, match='is not below'):
            DataRoot(root).relative(f'{root}2/1.png')


class TestLinks:

    def test_a_root_by_its_link_and_by_its_own_name_are_one(self, root, tmp_path):
        (tmp_path / 'link').symlink_to(root)
        for written, image in ((root, tmp_path / 'link'), (tmp_path / 'link', root)):
            assert DataRoot(written).relative(image / 'train' / '1.png') == 'train/1.png'
        assert DataRoot(root).real == DataRoot(tmp_path / 'link').real == os.path.realpath(root)

    def test_names_below_the_root_count_wherever_their_links_lead(self, root, tmp_path):
        (tmp_path / 'disk2').mkdir()
        (root / 'val').symlink_to(tmp_path / 'disk2')
        (tmp_path / 'link').symlink_to(root)
        assert DataRoot(root).relative(root / 'val' / '1.png') == 'val/1.png'
        assert DataRoot(root).relative(tmp_path / 'link' / 'val' / '1.png') == 'val/1.png'


class TestURLs:

    def test_the_part_below_the_root(self):
        root = DataRoot('s3://bucket/data/')
        assert root.relative('s3://bucket/data/train/1.png') == root.relative('s3://bucket/x/../data//train/1.png') == \
            'train/1.png'
        assert root.real == 's3://bucket/data'

    @pytest.mark.parametrize('image', ['s3://bucket/data2/1.png', 's3://other/data/1.png', 'gs://bucket/data/1.png',
                                       '/data/1.png', 's3://bucket/data'])
    def test_what_lies_elsewhere_is_refused(self, image):
        with pytest.raises(ValueError, match='is not below'):
            DataRoot('s3://bucket/data').relative(image)


def test_accented_letters_are_written_one_way(root):
    names = {unicodedata.normalize(form, 'é.png') for form in ('NFC', 'NFD')}
    assert len(names) == 2
    assert {DataRoot(root).relative(root / name) for name in names} == {unicodedata.normalize('NFC', 'é.png')}
