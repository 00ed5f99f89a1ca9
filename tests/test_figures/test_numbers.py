"""Numbers are written with all digits, and shown with those that count."""
import math
import re

import pandas as pd

from lbbt_mm.figures.numbers import of_all, print_numbers, shown, write_numbers


def test_numbers_keep_their_digits_in_the_file_and_lose_them_on_the_screen(tmp_path, capsys):
    frame = pd.DataFrame(dict(arm=['language', 'random'], value=[1 / 3, math.nan], n=[1234567, 2]))
    write_numbers(frame, tmp_path / 'new', 'x')
    assert pd.read_csv(tmp_path / 'new' / 'x.csv')['value'][0] == 1 / 3
    print_numbers(frame, 'about')
    printed = capsys.readouterr().out
    assert '0.3333' in printed and '0.33333' not in printed and '1,234,567' in printed
    assert re.search(r'random\W+-\W', printed)
    assert shown(123456.7) == '123,457' and shown(True) == 'True'


def test_of_a_gap_in_a_group_there_is_no_number():
    groups = pd.DataFrame(dict(arm=list('aabb'), value=[1., 3., math.nan, 3.])).groupby('arm')
    assert of_all(groups['value'], 'mean').fillna(-1).to_dict() == dict(a=2, b=-1)
    assert of_all(groups['value'], 'std').fillna(-1).to_dict() == dict(a=2**0.5, b=-1)
