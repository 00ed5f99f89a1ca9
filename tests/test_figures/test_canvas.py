"""Figures are the same files again, and tell more things apart than there are colours."""
import cv2

from lbbt_mm.figures.canvas import COLORS, Canvas, styles


def test_the_same_picture_gives_the_same_files(tmp_path):
    for name in ('a', 'b'):
        canvas = Canvas(1, 2)
        for axes in canvas.axes.flat:
            for label, style in styles(['one', 'two']).items():
                axes.plot([0, 1], [0, len(label)], label=label, **style)
        canvas.legend()
        canvas.save(tmp_path, name)
    for kind in ('png', 'pdf'):
        assert (tmp_path / f'a.{kind}').read_bytes() == (tmp_path / f'b.{kind}').read_bytes()
    assert cv2.imread(str(tmp_path / 'a.png')).shape[1] == 1380, 'a page wide, at 200 dots an inch'
    assert len(list(tmp_path.iterdir())) == 4


def test_more_things_than_colours_still_have_styles():
    found = styles([str(number) for number in range(2 * len(COLORS))])
    assert found['0']['color'] == found[str(len(COLORS))]['color']


def test_a_legend_of_long_names_stays_inside_the_picture(tmp_path):
    canvas = Canvas(1, 2)
    for number in range(6):
        canvas.axes[0, 0].plot([0, 1], [0, number], label=f'a rather long name of an arm, number {number}')
    canvas.legend()
    canvas.save(tmp_path, 'a')
    box = canvas.figure.legends[0].get_window_extent()
    assert 0 <= box.x0 and box.x1 <= canvas.figure.bbox.x1
