"""Which images are opened, and what is seen of them."""
import os
import time

import numpy as np
import pytest
from PIL import Image

from lbbt_mm.checks.image_files import Budget, evenly, look_at_image, missing_files, paths_below


def test_a_beginning_of_the_order_is_evenly_spaced():
    for count in (0, 1, 2, 7, 1000):
        assert sorted(evenly(count)) == list(range(count))
    gaps = np.diff(np.sort(evenly(10_000)[:100]))
    assert gaps.max() < 300


def test_small_data_sets_are_looked_at_whole_and_large_ones_in_part():
    slowly = lambda item: time.sleep(0.002) or -item  # noqa: E731
    seen = Budget(seconds=0., least=5, whole=50).spend('x', list(range(50)), slowly)
    assert seen == [(item, -item) for item in range(50)]
    seen = Budget(seconds=0., least=5, whole=50).spend('x', list(range(51)), slowly)
    assert 5 <= len(seen) < 51 and all(found == -item for item, found in seen)
    assert len(Budget(seconds=None).spend('x', list(range(500)), lambda item: item)) == 500


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
def test_images_cut_off_anywhere(suffix, tmp_path):
    """A JPEG is decoded at an eighth of its size: what is missing has to be seen all the same."""
    path = tmp_path / f'image{suffix}'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    assert look_at_image(str(path), {}) == ('', (60, 40), False)
    for share in (0.3, 0.6, 0.9, 0.97):
        path.write_bytes(whole[:int(len(whole) * share)])
        assert look_at_image(str(path), {}).fault == 'cannot be decoded to their end', share
    path.write_bytes(b'')
    assert look_at_image(str(path), {}).fault == 'are empty'
    path.unlink()
    assert look_at_image(str(path), {}).fault == 'are absent'


def test_missing_files_of_several_folders(tmp_path, monkeypatch):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    for name in ('a/1.jpg', 'a/b/1.jpg', '2.jpg'):
        (tmp_path / name).touch()
    names = ['a/1.jpg', 'a/b/1.jpg', 'a/2.jpg', '2.jpg', 'a/b/2.jpg', 'c/1.jpg', '1.jpg']
    expected = ['a/2.jpg', 'a/b/2.jpg', 'c/1.jpg', '1.jpg']
    paths = paths_below(tmp_path, names)
    assert paths == [str(tmp_path / name) for name in names]
    assert sorted(missing_files(paths)) == sorted(str(tmp_path / name) for name in expected)
    monkeypatch.chdir(tmp_path)
    assert sorted(missing_files(paths_below('', names))) == sorted(expected)
    assert paths_below('x', [os.sep + 'root.jpg']) == [os.sep + 'root.jpg']
    assert missing_files([]) == []
