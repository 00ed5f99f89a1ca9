import pytest

from lbbt_mm.language import parse_blocks


@pytest.mark.parametrize('selection, expected', [
    (None, [0, 1, 2, 3, 4, 5]),
    (0, [0]),
    (-1, [5]),
    ('-1', [5]),
    ('2', [2]),
    ('0:6', [0, 1, 2, 3, 4, 5]),
    ('1:3', [1, 2]),
    (' 1 : 3 ', [1, 2]),
    (':2', [0, 1]),
    ('-2:', [4, 5]),
    ('::2', [0, 2, 4]),
    ('::-1', [5, 4, 3, 2, 1, 0]),
    ('4:0:-2', [4, 2]),
    ([0, 5, 3], [0, 5, 3]),
    ((0, -1), [0, 5]),
    (['0:2', -1, '3'], [0, 1, 5, 3]),
    ([2, 2], [2, 2]),
])
def test_block_selections_read_like_python(selection, expected):
    assert parse_blocks(selection, 6) == expected


@pytest.mark.parametrize('selection', [6, -7, '6', '0:7', '-7:', '9:', [0, 6], ['0:2', '5:9']])
def test_selection_out_of_range_says_how_many_blocks_there_are(selection):
    with pytest.raises(ValueError, match=r'language\.blocks=.*out of range.*6 blocks \(0 to 5.*[Cc]hoose fewer'):
        parse_blocks(selection, 6, 'language.blocks')


@pytest.mark.parametrize('selection', ['3:3', '4:1', [], ()])
def test_selection_of_no_block_is_an_error(selection):
    with pytest.raises(ValueError, match="selects no block; the language model has 6.*'0:6'"):
        parse_blocks(selection, 6)


@pytest.mark.parametrize('selection', ['all', '', '1.5', 1.5, True, [True], {0: 1}, ['0:2', 'last']])
def test_selection_that_is_none_says_what_one_looks_like(selection):
    with pytest.raises(ValueError, match="is not a block selection. Expected an index .* a slice .* or a list"):
        parse_blocks(selection, 6)


@pytest.mark.parametrize('selection', ['a:b', '0:2.5', '0:1:2:3', '::0'])
def test_slice_that_is_none_says_what_one_looks_like(selection):
    with pytest.raises(ValueError, match='is not a block selection. Expected an index .-1., a slice of whole numbers'):
        parse_blocks(selection, 6)
