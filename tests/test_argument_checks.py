"""Arguments that cannot be are refused in one sentence: what it is called, what was found, what was expected."""
import math
import re
from fractions import Fraction

import numpy as np
import pytest

from lbbt_mm.argument_checks import check_choice, check_count, check_number, check_rate, is_number, is_whole, read_counts


@pytest.mark.parametrize('check, right, wrong, expected', [
    (check_count, [1, 10**30], [0, -1, True, 1., '1', None, [1], np.int64(1)], 'a whole number, 1 or more'),
    (lambda *it: check_count(*it, 2), [2], [1, True], 'a whole number, 2 or more'),
    (lambda *it: check_count(*it, least=-math.inf), [-3, 0], [0.5, False, 'a'], 'a whole number'),
    (lambda *it: check_count(*it, more=', or None'), [1], [0], 'a whole number, 1 or more, or None'),
    (check_number, [-1e9, 0, 0.5, np.float32(2), Fraction(1, 2)], [math.inf, -math.inf, math.nan, True, '1', None, 1j],
     'a number'),
    (lambda *it: check_number(*it, least=0, most=1), [0, 0.5, 1], [-1e-9, 1.01, math.nan, True], 'a number from 0 to 1'),
    (lambda *it: check_number(*it, least=0), [0, 9.], [-1, math.inf], 'a number, 0 or more'),
    (lambda *it: check_number(*it, above=0), [1e-9, 9], [0, math.inf], 'a number above 0'),
    (lambda *it: check_number(*it, above=0, below=1), [0.5], [0, 1], 'a number above 0 and below 1'),
    (lambda *it: check_number(*it, above=0, most=10), [10], [0, 10.1], 'a number above 0 and up to 10'),
    (lambda *it: check_number(*it, ', the weight', most=1), [1, -9], [2], 'a number up to 1, the weight'),
    (check_rate, [0, 0.999], [1, 1., -0.1, True, '0'], 'a number, 0 or more and below 1'),
    (lambda *it: check_choice(*it, ('a', None)), ['a', None], ['b', 0, ['a'], {}], "one of 'a', None"),
    (lambda *it: check_choice(*it, {'a': 1, 'b': 2}), ['a', 'b'], ['c', ['a'], {}], "one of 'a', 'b'"),
    (read_counts, [1, (1, 5), [2]], [0, (), [], (1, 0), (True, ), 1.5, '1', None],
     'a whole number, 1 or more, or several of them')])
def test_an_argument(check, right, wrong, expected):
    for value in right:
        check('Hook: steps', value)
    for value in wrong:
        with pytest.raises(ValueError, match=f'^Hook: steps={re.escape(repr(value))}; expected {expected}.$'):
            check('Hook: steps', value)


def test_several_numbers_become_a_tuple():
    assert read_counts('topk', 5) == (5, ) and read_counts('topk', [1, 5]) == (1, 5)


def test_a_long_value_does_not_fill_the_message():
    with pytest.raises(ValueError) as caught:
        check_choice('x', 'y' * 10**6, ('a', ))
    assert len(str(caught.value)) < 100


def test_ends_belong_to_a_range_or_not():
    assert is_whole(3, 1, 3) and not is_whole(4, 1, 3)
    assert is_number(1, most=1) and not is_number(1, below=1) and is_number(0, least=0) and not is_number(0, above=0)
