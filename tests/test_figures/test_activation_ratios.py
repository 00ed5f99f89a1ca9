"""Means and pictures of activation ratios, of numbers that are written by hand."""
import math

import numpy as np
import pandas as pd
import pytest

from lbbt_mm.figures import activation_ratios
from lbbt_mm.figures.activation_ratios import summarise_runs


def rows(label, checkpoint, ratios, images='real', at='end', samples=8):
    return [dict(label=label, at=at, images=images, checkpoint=checkpoint, number=number, ratio=ratio, always=2 * ratio,
                 never=0.5, between_images=ratio, samples=samples) for number, ratio in enumerate(ratios)]


def test_the_mean_is_over_blocks_then_over_runs():
    """By hand: runs of 0.2 and 0.4 have mean 0.3 and deviation 0.1414, however many blocks each has."""
    table = summarise_runs(pd.DataFrame([*rows('b', 'x', [0.1, 0.3]), *rows('b', 'y', [0.4] * 4),
                                         *rows('a', 'z', [0.5, 1.])]))
    assert table[['label', 'at', 'images', 'runs']].values.tolist() == [['b', 'end', 'real', 2], ['a', 'end', 'real', 1]]
    assert table.ratio.tolist() == ['0.300 ± 0.141', '0.750'] and table.always.tolist() == ['0.600 ± 0.283', '1.500']
    assert table.never.tolist() == ['0.500 ± 0.000', '0.500']


def test_of_a_gap_in_a_block_or_in_a_run_there_is_no_mean():
    table = summarise_runs(pd.DataFrame([*rows('a', 'x', [0.2, math.nan]), *rows('b', 'x', [0.2]),
                                         *rows('b', 'y', [math.nan]), *rows('c', 'z', [0.2])]))
    assert table.ratio.tolist() == ['-', '-', '0.200'] and table.runs.tolist() == [1, 2, 1]
    assert table.blocks.tolist() == ['2', '1', '1']


def test_blocks_that_no_run_of_a_label_runs_do_not_count_and_it_is_said_of_how_many_the_mean_is():
    def of(checkpoint, *ratios):
        return [dict(row, samples=8 * (row['ratio'] == row['ratio'])) for row in rows('a', checkpoint, ratios)]

    table = summarise_runs(pd.DataFrame([*of('x', 0.2, 0.4, math.nan), *of('y', 0.4, 0.6, math.nan)]))
    assert table.ratio.tolist() == ['0.400 ± 0.141'] and table.blocks.tolist() == ['2 of 3']
    table = summarise_runs(pd.DataFrame([*of('x', 0.2, 0.4, math.nan), *of('y', 0.4, math.nan, math.nan)]))
    assert table.ratio.tolist() == ['-'] and table.blocks.tolist() == ['2 of 3'], 'one run alone has not run the second'


def test_stages_and_images_stand_apart_in_their_order():
    table = summarise_runs(pd.DataFrame([*rows('a', 'x', [0.1], at='start'), *rows('a', 'x', [0.2]),
                                         *rows('a', 'x', [0.3], 'noise')]))
    assert table[['at', 'images', 'ratio']].values.tolist() == [
        ['start', 'real', '0.100'], ['end', 'real', '0.200'], ['end', 'noise', '0.300']]


def test_the_picture_shows_the_numbers():
    frame = pd.DataFrame([dict(label=label, at=at, images=images, checkpoint=str(seed), number=number, variant='paper',
                               ratio=0.1 * number + 0.01 * seed + (0.2 if images == 'real' else 0.), between_images=0.3)
                          for label in ('a', 'b') for seed in (0, 2) for at in ('start', 'end')
                          for images in ('real', 'pixels') for number in range(3)])
    axes = activation_ratios.draw(frame, ['pixels']).axes
    assert axes.shape == (3, 2) and [one.get_title() for one in axes[0]] == ['start of training', 'end of training']
    lines = {line.get_label(): line.get_ydata() for line in axes[0, 1].lines}
    assert lines['a'] == pytest.approx([0.21, 0.31, 0.41]) and set(lines) == {'a', 'b'}
    assert axes[1, 0].lines[0].get_ydata() == pytest.approx([0.2] * 3), 'real minus shuffled'
    band = axes[0, 0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.21 - np.std([0, 0.02], ddof=1), 0.41 + np.std([0, 0.02], ddof=1)))
    assert axes[0, 0].get_ylabel() == 'activated pairs\n(share, paper)'
    assert all(one.get_ylabel() for one in axes[:, 0]) and all(one.get_xlabel() == 'block' for one in axes[-1])
    assert activation_ratios.draw(frame, []).axes.shape == (2, 2)


def test_where_a_run_has_no_number_the_others_are_dotted_and_there_is_no_mean():
    ratios = dict(x=[0.1, 0.2, 0.3, math.nan], y=[0.3, math.nan, 0.5, math.nan])
    frame = pd.DataFrame([dict(row, variant='paper') for name, values in ratios.items() for row in rows('a', name, values)])
    axes = activation_ratios.draw(frame, []).axes[0, 0]
    mean, *alone = axes.lines
    assert mean.get_label() == 'a' and mean.get_ydata() == pytest.approx([0.2, math.nan, 0.4, math.nan], nan_ok=True)
    assert [line.get_linestyle() for line in alone] == [':', ':']
    for line, values in zip(alone, ratios.values()):
        assert line.get_ydata() == pytest.approx(values, nan_ok=True)
    whole = activation_ratios.draw(frame[frame.number == 0], []).axes[0, 0]
    assert len(whole.lines) == 1, 'without a gap no run is dotted'
