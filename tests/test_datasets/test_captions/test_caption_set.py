"""Images with their captions, and the bytes of an image that lies in a shard."""
import pytest

from lbbt_mm.datasets.captions.caption_set import CaptionSet, TarMember, grouped


def test_captions_of_an_image_come_together_in_the_order_in_which_images_come_first(tmp_path):
    found = grouped('rows', [('b', '1'), ('a', '2'), ('b', '3'), ('b', '1')], lambda name: tmp_path / name)
    assert (found.source, found.keys, found.captions, len(found)) == ('rows', ['b', 'a'], [['1', '3', '1'], ['2']], 2)
    assert found.pairs == [('b', '1'), ('b', '3'), ('b', '1'), ('a', '2')]
    assert [found.image(index) for index in (0, 1)] == [tmp_path / 'b', tmp_path / 'a']


@pytest.fixture
def mixed(tmp_path):
    """An image that is a file, and one in the middle of another."""
    (tmp_path / 'a.png').write_bytes(b'first')
    (tmp_path / 'shard').write_bytes(b'..second..')
    member = TarMember(tmp_path / 'shard', 'b.png', 2, 6)
    return CaptionSet('mixed', ['a', 'b'], [['x'], ['y']], [tmp_path / 'a.png', member])


def test_content_is_read_from_where_it_lies(mixed, tmp_path):
    assert [mixed.read(index) for index in (0, 1)] == [b'first', b'second']
    assert mixed.image(0) == tmp_path / 'a.png' and mixed.image(1) == b'second'


@pytest.mark.parametrize('length', [0, 7])
def test_a_member_that_is_cut_off(mixed, tmp_path, length):
    (tmp_path / 'shard').write_bytes(b'..second..'[:length])
    mixed.check_images()
    with pytest.raises(ValueError, match='shard: b.png is cut off; all of it was there when the shard was opened'):
        mixed.read(1)


def test_an_image_that_is_not_there(mixed, tmp_path):
    (tmp_path / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match='mixed: the image .*a.png is not there. Correct the path, or say with --im'):
        mixed.check_images()
