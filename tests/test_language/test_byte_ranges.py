"""Reading the bytes of one tensor, and a file that becomes shorter meanwhile."""
import pytest

from lbbt_mm.language.byte_ranges import check_length, read_pieces, read_range, unreadable
from lbbt_mm.language.errors import CheckpointError


@pytest.fixture
def path(tmp_path):
    (tmp_path / 'weights').write_bytes(bytes(range(100)))
    return tmp_path / 'weights'


def test_just_these_bytes(path):
    assert read_range(path, 40, 3, 'a').tolist() == [40, 41, 42]
    assert read_range(path, 99, 1, 'a').tolist() == [99] and read_range(path, 0, 0, 'a').numel() == 0


@pytest.mark.parametrize('start, there', [(90, '10 of its 20 bytes'), (200, '0 of its 20 bytes')])
def test_a_file_that_ends_before_is_cut_off(path, start, there):
    with pytest.raises(CheckpointError, match=f"weights: tensor 'a' is cut off: {there}"):
        read_range(path, start, 20, 'a')


def test_a_file_is_not_mapped_beyond_its_end(path):
    check_length(path, 100, 'a')
    with pytest.raises(CheckpointError, match="tensor 'a' is cut off: 100 of the file's 101 bytes"):
        check_length(path, 101, 'a')


def test_a_file_that_may_not_be_read(path):
    assert str(unreadable(path, PermissionError(13, 'Permission denied'))).startswith(f'{path}: cannot be read (Permission')


def test_pieces_are_the_range_and_no_longer_than_asked_for(path):
    pieces = [piece.tolist() for piece in read_pieces(path, 10, 31, 8, 'a')]
    assert pieces == [[*range(10, 18)], [*range(18, 26)], [*range(26, 31)]] and list(read_pieces(path, 5, 5, 8, 'a')) == []


def test_a_file_that_is_cut_while_it_is_read_is_named(path):
    pieces = read_pieces(path, 0, 100, 40, 'a')
    assert len(next(pieces)) == 40
    path.write_bytes(b'x' * 70)
    with pytest.raises(CheckpointError, match="'a' is cut off: 30 of its 40 bytes"):
        list(pieces)
