"""Batches of texts of about one length: every text once, no batch too large, little padding."""
import random

import pytest

from lbbt_mm.language.length_batches import batches_by_length, padding_share


def lengths(number=2000):
    """As captions': mostly short, a few long ones."""
    draw = random.Random(0)
    return [max(1, int(draw.lognormvariate(2.5, 0.6))) for _ in range(number)]


@pytest.mark.parametrize('batch_tokens', [1, 64, 1024, 10**6])
def test_every_text_is_in_one_batch_that_is_not_too_large(batch_tokens):
    found = lengths()
    batches = batches_by_length(found, batch_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(2000))
    for batch in batches:
        longest = max(found[index] for index in batch)
        assert longest * len(batch) <= batch_tokens or len(batch) == 1


def test_a_batch_is_filled():
    batches = batches_by_length([2] * 10, 6)
    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


@pytest.mark.parametrize('number', [1, 10, 100, 2000])
@pytest.mark.parametrize('batch_tokens', [64, 2048, 10**6])
def test_little_of_any_batch_is_padding(number, batch_tokens):
    """Also where there are so few texts that all would fit in one."""
    found = lengths(number)
    for batch in batches_by_length(found, batch_tokens):
        assert padding_share(found, [batch]) < 0.1


def test_texts_as_they_come_are_padded_a_lot():
    found = lengths()
    as_they_come = [list(range(first, first + 64)) for first in range(0, 2000 - 64, 64)]
    assert padding_share(found, as_they_come) > 0.4


def test_the_share_of_padding_by_hand():
    assert padding_share([4, 1, 3], [[0, 1], [2]]) == pytest.approx(3 / 11)


def test_the_longest_come_first():
    assert batches_by_length([1, 9, 5], 9) == [[1], [2], [0]]


def test_no_texts_make_no_batches():
    assert batches_by_length([], 100) == []
