"""The picture of covariance alignment has the numbers of its tables."""
import numpy as np
import pandas as pd
import pytest

from lbbt_mm.figures.alignment_panels import NETWORK, draw


def rows(label, values, high=0.2):
    """``(number, at, what) -> alignment``, as the tool measures it."""
    return [dict(label=label, number=number, at=at, what=what, alignment=value, high=high)
            for (number, at, what), value in values.items()]


def curve(label, number, at, what='weights', tau=(1., 2., 3.)):
    return [dict(label=label, number=number, at=at, what=what, sigma=sigma, tau=value)
            for sigma, value in zip((0., 1., 10.), tau)]


NETWORKS = rows(NETWORK, {(number, at, what): value for number, shift in (('0', 0.), ('1', 0.2), ('all', 9.))
                          for at, what, value in (('0', 'weights', shift), ('100', 'weights', 0.5 + shift),
                                                  ('100', 'change', 0.6 + shift))})
OF_NETWORKS = [point for at in ('0', '10', '100') for point in curve(NETWORK, '0', at)]
RUNS = rows('language', {('0', 'start', 'weights'): 0.1, ('1', 'start', 'weights'): 0.3, ('0', 'end', 'weights'): 0.5,
                         ('1', 'end', 'weights'): 0.7, ('0', 'end', 'change'): 0.7, ('1', 'end', 'change'): 0.9})
OF_RUNS = [*curve('language', '0', 'start'), *curve('language', '1', 'start', tau=(1., 4., 3.)),
           *curve('language', '0', 'end'), *curve('language', '0', 'start', 'change')]


def lines(axes, style):
    return [line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() == style]


def test_networks_are_drawn_over_their_training_as_mean_and_band():
    canvas = draw(pd.DataFrame(NETWORKS), pd.DataFrame(OF_NETWORKS))
    assert canvas.axes.shape == (1, 2)
    left, right = canvas.axes[0]
    assert lines(left, '-')[0] == [[0, pytest.approx(0.1)], [100, pytest.approx(0.6)]], 'all together is no network'
    assert lines(left, '--')[0] == [[100, pytest.approx(0.7)]]
    assert left.get_title() == 'networks of the theorem: alignment' and left.get_xlabel() == 'training steps'
    assert lines(right, ':') == lines(right, '-') == [[[1, 2], [10, 3]]], 'start and end; 0 has no place on the axis'


def test_runs_are_drawn_before_and_after_with_the_spread_of_their_seeds():
    canvas = draw(pd.DataFrame(RUNS), pd.DataFrame(OF_RUNS))
    left, right = canvas.axes[0]
    means = [(line.get_xdata()[0], line.get_ydata()[0]) for line in left.lines if len(line.get_xdata()) == 1
             and line.get_markersize() == 5]
    assert means == [(0, pytest.approx(0.2)), (1, pytest.approx(0.6)), (2, pytest.approx(0.8))]
    assert [text.get_text() for text in left.get_xticklabels()] == ['start', 'end', 'change']
    assert lines(right, ':') == [[[1, 3], [10, 3]]], 'the mean over seeds, rank by rank'
    assert lines(right, '-') == [[[1, 2], [10, 3]]] and not lines(right, '--'), 'a change at the start is none'


def test_of_a_gap_in_one_run_there_is_no_mean_but_the_others_points():
    left = draw(pd.DataFrame(rows('a', {('0', 'end', 'change'): np.nan, ('1', 'end', 'change'): 0.9})),
                pd.DataFrame(curve('a', '0', 'end'))).axes[0][0]
    points = [line for line in left.lines if line.get_linestyle() == 'None']
    assert [line.get_ydata().tolist() for line in points if len(line.get_ydata())] == [[0.9]]
    assert not [line for line in points if line.get_markersize() == 5], 'the mean'


def test_both_have_a_row_and_a_legend():
    canvas = draw(pd.DataFrame(NETWORKS + RUNS), pd.DataFrame(OF_NETWORKS + OF_RUNS))
    assert canvas.axes.shape == (2, 2)
    assert [axes.get_title() for axes in canvas.axes[:, 0]] == ['networks of the theorem: alignment',
                                                               'first layer of trained models: alignment']
    assert [text.get_text() for text in canvas.figure.legends[0].get_texts()] == [
        'weights at the start', 'weights at the end', 'their change', '95% of random rotations', 'language']
