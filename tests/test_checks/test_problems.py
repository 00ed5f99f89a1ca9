"""What a check found is one line."""
import pytest

from lbbt_mm.checks.problems import Problem, counted, few


def test_a_problem_begins_with_its_place_if_it_has_one():
    assert str(Problem('train_dataloader.dataset', 'is odd')) == 'train_dataloader.dataset: is odd'
    assert str(Problem('', 'is odd')) == 'is odd' and Problem('', 'is odd').fatal


@pytest.mark.parametrize('items, text', [
    ([], ''), (['a'], "'a'"), ([1, 2, 3], '1, 2, 3'), (range(7), '0, 1, 2, 3, 4 and 2 more')])
def test_few_of_many(items, text):
    assert few(items) == text


def test_counts_are_of_how_many():
    assert counted(3, 1000, 'boxes') == '3 of 1,000 boxes' and counted(1000, 1000, 'boxes') == 'all 1,000 boxes'
