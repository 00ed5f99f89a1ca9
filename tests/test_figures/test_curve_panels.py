"""Curves with bands: the numbers drawn, and that the picture has them."""
import cv2
import numpy as np
import pandas as pd

from lbbt_mm.figures.canvas import COLORS, styles
from lbbt_mm.figures.curve_panels import Panel, _wrapped, band, draw_curves


def points(*rows):
    return pd.DataFrame(rows, columns=['arm', 'seed', 'step', 'value'])


def is_in(image, color) -> bool:
    """Whether a picture has a colour ``#RRGGBB``."""
    rgb = [int(color[start:start + 2], 16) for start in (1, 3, 5)]
    return bool((np.abs(image[:, :, ::-1].astype(int) - rgb).max(-1) < 8).any())


def lines_of(axes, style) -> list:
    """Points of the curves that are drawn in a style."""
    found = [line for line in axes.lines if line.get_linestyle() == style and line.get_marker() not in ('x', '|')]
    return [[(x, y) for x, y in line.get_xydata().tolist() if y == y] for line in found]


def ends_of(axes, marker) -> list:
    return [tuple(line.get_xydata()[-1]) for line in axes.lines
            if line.get_marker() == marker and line.get_linestyle() == 'None']


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
    draw_curves(panels, columns=3).save(tmp_path, 'curves')
    image = cv2.imread(str(tmp_path / 'curves.png'))
    height, width = image.shape[:2]
    assert 1 < width / height < 2, 'two rows of three'
    empty = image[height // 2 + 30:-80, width // 2:]  # below is the legend, which covers no curve
    assert (empty == 255).all(), 'the fifth and sixth panels are not there'
    assert (image[-50:] < 255).any(), 'the legend'
    assert is_in(image, COLORS[0]) and is_in(image, COLORS[1]) and not is_in(image, COLORS[2])
    assert {path.name for path in tmp_path.iterdir()} == {'curves.png', 'curves.pdf'}, 'no half-written file is left'


def test_a_metric_that_was_measured_once_has_its_seeds_side_by_side(tmp_path, monkeypatch):
    from matplotlib.axes import Axes
    bars = []
    plain = Axes.errorbar
    monkeypatch.setattr(Axes, 'errorbar', lambda self, x, y, yerr, **more: (bars.append((x, y, yerr)),
                                                                           plain(self, x, y, yerr, **more))[1])
    curves = points(('language', 0, 15, 1.), ('language', 1, 15, 3.), ('random', 0, 15, 5.), ('random', 1, 15, 5.))
    draw_curves({'probe': Panel(curves, 'epoch')}).save(tmp_path, 'curves')
    np.testing.assert_allclose(bars, [(0, 2, np.sqrt(2)), (1, 5, 0)])
    image = cv2.imread(str(tmp_path / 'curves.png'))
    assert is_in(image, COLORS[0]) and is_in(image, COLORS[1])


def test_where_a_seed_has_no_value_the_others_go_on_alone():
    """The mean of fewer seeds would be another curve in the guise of the same."""
    curves = points(('a', 0, 1, 1.), ('a', 0, 2, 2.), ('a', 0, 3, 3.), ('a', 1, 1, 3.), ('a', 1, 2, 4.))
    axes = draw_curves({'loss': Panel(curves, 'epoch')}).axes[0, 0]
    assert lines_of(axes, '-') == [[(1, 2), (2, 3)]]
    assert lines_of(axes, ':') == [[(2, 2), (3, 3)], [(2, 4)]]
    assert ends_of(axes, '|') == [(2, 4)] and not ends_of(axes, 'x')


def test_a_run_that_diverged_ends_in_a_cross():
    nan = float('nan')
    curves = points(('a', 0, 1, 1.), ('a', 0, 2, 9.), ('a', 0, 3, nan), ('b', 0, 1, 1.), ('b', 0, 2, 1.), ('b', 0, 3, 1.))
    canvas = draw_curves({'loss': Panel(curves, 'epoch', [('a', 0)])})
    axes = canvas.axes[0, 0]
    assert ends_of(axes, 'x') == [(2, 9)] and not ends_of(axes, '|')
    legend, = canvas.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['a', 'b', 'diverged']


def test_a_gap_in_a_curve_is_one():
    curves = points(*(('a', seed, step, float('nan') if (seed, step) == (1, 2) else 1.)
                      for seed in (0, 1) for step in (1, 2, 3)))
    axes = draw_curves({'loss': Panel(curves, 'epoch')}).axes[0, 0]
    mean = axes.lines[0].get_ydata()
    assert np.isnan(mean[1]) and mean[0] == mean[2] == 1


def test_seeds_that_were_logged_at_different_steps_have_no_mean():
    curves = points(('a', 0, 1, 1.), ('a', 0, 3, 2.), ('a', 1, 2, 3.), ('a', 1, 4, 4.))
    axes = draw_curves({'loss': Panel(curves, 'epoch')}).axes[0, 0]
    assert lines_of(axes, '-') == [[]] and lines_of(axes, ':') == [[(1, 1), (3, 2)], [(2, 3), (4, 4)]]


def test_long_titles_and_notes_stay_inside_their_panel():
    curves = points(('a', 0, 1, 1.), ('a', 0, 2, 2.))
    title = 'probe_patch_embed_gpt2_imagefolder/accuracy/top1\nours+exclude_true=False'
    panels = {title: Panel(curves, 'epoch', note='not logged: b (1 of 3)'), 'loss': Panel(curves, 'epoch')}
    axes = draw_curves(panels).axes[0, 0]
    assert max(map(len, axes.get_title().splitlines())) <= 48 and '(not logged: b (1 of 3))' in axes.get_title()


def test_names_are_torn_behind_a_sign():
    assert _wrapped('moment_matched', 12) == 'moment_\nmatched' and _wrapped('language', 12) == 'language'
    assert _wrapped('a b c d e f\nx', 5) == 'a b c\nd e f\nx' and _wrapped('abcdefgh', 3) == 'abc\ndef\ngh'


def test_axes_say_what_they_have():
    axes = draw_curves({'train/accuracy/top1\ncell': Panel(points(('a', 0, 1, 1.), ('a', 0, 2, 2.)), 'epoch')}).axes[0, 0]
    assert axes.get_xlabel() == 'epoch' and axes.get_ylabel() == 'top1' and axes.get_title() == 'train/accuracy/top1\ncell'


def test_more_arms_than_colours_look_different():
    looks = styles([str(number) for number in range(20)])
    assert len({(look['color'], look['marker'], str(look['linestyle'])) for look in looks.values()}) == 20
