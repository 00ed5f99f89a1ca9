"""Tables: text to the left, numbers to the right, whatever they are printed on."""
import io

from rich import box
from rich.console import Console

from lbbt_mm.text_table import make_table, markdown_table, render_table


def test_text_is_to_the_left_and_numbers_to_the_right():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(make_table(('part', 'count', 'kind'), [('a', '1', 'x'), ('bcd', '20', 'yz')], 'of what',
                             ('part', 'kind'), box.ASCII))
    lines = console.export_text().splitlines()
    assert lines[0].strip() == 'of what'
    assert lines[4:6] == ['| a    |     1 | x    |', '| bcd  |    20 | yz   |']


def test_the_first_column_holds_names_where_nothing_is_said():
    assert '| a    |     1 |' in render_table('', ('part', 'count'), [('a', '1')])


def test_lines_between_rows():
    lines = render_table('', ('part', 'count'), [('a', '1'), None, ('b', '2')]).splitlines()
    assert [line[0:7] for line in lines[3:]] == ['| a    ', '|------', '| b    ', '+------']


def test_markdown():
    assert markdown_table(('a', 'b'), [('1', '2')]) == '| a | b |\n| --- | --- |\n| 1 | 2 |\n'


def test_brackets_and_colons_are_text():
    text = render_table('[red] of :car:', ('part', '[b]'), [('[red]', '[/x]')])
    assert '[red] of :car:' in text and '| [red] | [/x] |' in text and '[b]' in text
