"""Curves with bands: the numbers drawn, and that the picture has them."""
import cv2
import numpy as np
import pandas as pd

from lbbt_mm.experiments.curves import Panel, band, draw_curves


def points(*rows):
    return pd.DataFrame(rows, columns=['arm', 'seed', 'step', 'value'])


def test_the_band_is_mean_and_standard_deviation_over_seeds():
    table = band(points(('language', 0, 2, 1.), ('language', 1, 2, 3.), ('language', 0, 1, 5.)))
    assert table['step'].tolist() == [1, 2] and table['mean'].tolist() == [5, 2] and table['n'].tolist() == [1, 2]
    np.testing.assert_allclose(table['std'], [0, np.sqrt(2)])  # one seed has no spread


def test_arms_keep_their_order_and_what_is_no_number_is_left_out():
    table = band(points(('random', 0, 1, 1.), ('language', 0, 1, float('nan')), ('language', 0, 2, float('inf')),
                        ('language', 0, 3, 2.)))
    assert table['arm'].tolist() == ['random', 'language'] and table['step'].tolist() == [1, 3]


def test_the_picture_has_a_panel_a_metric_and_a_colour_an_arm(tmp_path):
    curves = points(*((arm, seed, step, float(step + seed)) for arm in 'ab' for seed in (0, 1) for step in range(5)))
    panels = {f'metric {index}': Panel(curves, 'epoch') for index in range(4)}
    draw_curves(panels, tmp_path / 'curves.png', columns=3)
    image = cv2.imread(str(tmp_path / 'curves.png'))
    height, width = image.shape[:2]
    assert 1.5 < width / height < 2.5, 'two rows of three'
    empty = image[height // 2 + 20:-60, width // 2:]  # below is the legend, which covers no curve
    assert (empty == 255).all(), 'the fifth and sixth panels are not there'
    assert (image[-50:] < 255).any(), 'the legend'
    for color in ((180, 119, 31), (14, 127, 255)):  # the first two of the colour cycle, in BGR
        assert (np.abs(image.astype(int) - color).max(-1) < 8).any()
    assert [path.name for path in tmp_path.iterdir()] == ['curves.png'], 'no half-written file is left'


def test_a_metric_that_was_measured_once_has_its_seeds_side_by_side(tmp_path, monkeypatch):
    from matplotlib.axes import Axes
    bars = []
    plain = Axes.errorbar
    monkeypatch.setattr(Axes, 'errorbar', lambda self, x, y, yerr, **more: (bars.append((x, y, yerr)),
                                                                           plain(self, x, y, yerr, **more))[1])
    curves = points(('language', 0, 15, 1.), ('language', 1, 15, 3.), ('random', 0, 15, 5.), ('random', 1, 15, 5.))
    draw_curves({'probe': Panel(curves, 'epoch')}, tmp_path / 'curves.png')
    np.testing.assert_allclose(bars, [(0, 2, np.sqrt(2)), (1, 5, 0)])
    image = cv2.imread(str(tmp_path / 'curves.png'))
    for color in ((180, 119, 31), (14, 127, 255)):
        assert (np.abs(image.astype(int) - color).max(-1) < 8).any()
