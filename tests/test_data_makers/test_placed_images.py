"""Images that are linked or copied into a data set, and what tells one set from another."""
import os

import pytest

from lbbt_mm.data_makers.placed_images import fingerprint, place_image


@pytest.fixture
def image(tmp_path):
    (tmp_path / 'image.jpg').write_bytes(b'content')
    return tmp_path / 'image.jpg'


def test_a_copy_is_a_file_of_its_own_and_a_link_is_not(image, tmp_path):
    place_image(image, tmp_path / 'copy.jpg', copy=True)
    place_image(image, tmp_path / 'link.jpg', copy=False)
    assert (tmp_path / 'copy.jpg').read_bytes() == (tmp_path / 'link.jpg').read_bytes() == b'content'
    assert not os.path.samefile(tmp_path / 'copy.jpg', image) and os.path.samefile(tmp_path / 'link.jpg', image)


def test_what_a_link_leads_to_is_linked(image, tmp_path):
    (tmp_path / 'pointer.jpg').symlink_to(image)
    place_image(tmp_path / 'pointer.jpg', tmp_path / 'placed.jpg', copy=False)
    assert not (tmp_path / 'placed.jpg').is_symlink() and os.path.samefile(tmp_path / 'placed.jpg', image)


def test_another_file_system_is_one_line_that_names_the_way_out(image, tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(18, 'Invalid cross-device link')

    monkeypatch.setattr(os, 'link', refuse)
    with pytest.raises(OSError, match=r'image.jpg cannot be linked to .*placed.jpg \(Invalid cross-device link\).*--copy'):
        place_image(image, tmp_path / 'placed.jpg', copy=False)


def test_a_set_is_told_by_its_paths_and_sizes_in_their_order():
    placed = [('a/1.jpg', 3), ('b/2.jpg', 4)]
    found = fingerprint(placed)
    assert found == fingerprint(iter(placed)) and len(found) == 64
    others = [placed[::-1], placed[:1], [('a/1.jpg', 3), ('b/2.jpg', 5)], [('a/1.jpg', 34), ('b/2.jpg', 4)]]
    assert found not in map(fingerprint, others)
    assert fingerprint([('\udcff.jpg', 1)]) != fingerprint([('x.jpg', 1)]), 'names that are no UTF-8'
