"""Tables: text to the left, numbers to the right, whatever they are printed on."""
from lbbt_mm.text_table import markdown_table, render_table


def test_text_is_to_the_left_and_numbers_to_the_right():
    lines = render_table('of what', ('part', 'count', 'kind'), [('a', '1', 'x'), ('bcd', '20', 'yz')],
                         left=('part', 'kind')).splitlines()
    assert lines[0].strip() == 'of what'
    assert lines[4:6] == ['| a    |     1 | x    |', '| bcd  |    20 | yz   |']


def test_the_first_column_holds_names_where_nothing_is_said():
    assert '| a    |     1 |' in render_table('', ('part', 'count'), [('a', '1')])


def test_lines_between_rows_and_a_footer():
    rows = [('a', '1'), None, ('b', '2')]
    lines = render_table('', ('part', 'count'), rows, footer=('total', '3')).splitlines()
    assert [line[0:9] for line in lines[3:]] == ['| a     |', '|-------+', '| b     |', '|-------+', '| total |',
                                                 '+--------']


def test_markdown():
    assert markdown_table(('a', 'b'), [('1', '2')]) == '| a | b |\n| --- | --- |\n| 1 | 2 |\n'
