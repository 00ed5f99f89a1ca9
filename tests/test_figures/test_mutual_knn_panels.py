"""Heat maps of mutual nearest neighbours."""
import torch

from lbbt_mm.figures.mutual_knn_panels import draw
from lbbt_mm.figures.mutual_knn_tables import Compared
from tests.test_figures.compared_blocks import found


def test_the_picture_marks_the_best_pair_and_what_is_chance():
    scores = torch.linspace(0, 1, 12, dtype=torch.float64).reshape(3, 4)
    scores[2, 3], scores[1, 3] = 0.1, 0.99
    maxima = [0.5] * 99
    compared = [Compared(text, vision, 0, (1, 1), 0.1, found(scores / scale, maxima))
                for text, scale in (('a', 1), ('b', 4)) for vision in ('c', 'd', 'e')]
    canvas = draw(compared)
    assert canvas.axes.shape == (2, 3)
    axes = canvas.axes[0, 1]
    image, crossed, best = axes.images[0], axes.collections[-2], axes.collections[-1]
    assert image.get_array().tolist() == scores.T.tolist(), 'blocks of the vision model from the bottom up'
    assert image.get_clim() == canvas.axes[1, 0].images[0].get_clim() == (0, 0.99), 'one scale for all'
    assert best.get_offsets().tolist() == [[1, 3]]
    low = {(text, vision) for text in range(3) for vision in range(4) if scores[text, vision] <= 0.5}
    assert {tuple(map(int, place)) for place in crossed.get_offsets()} == low
    assert axes.get_title() == 'best 0.990, calibrated 0.980, p = 0.01'
    assert (axes.get_xlabel(), axes.get_ylabel()) == ('block of a', 'block of d')
    assert len(canvas.axes[1, 0].collections[-2].get_offsets()) == 12, 'all that is chance is crossed out'
    assert [text.get_text() for text in canvas.figure.legends[0].get_texts()] == [
        'the best pair', 'p above 0.05', 'what 5% of permutations reach', 'mean of permutations']


def test_a_single_pair_of_models_is_one_panel_whose_bar_says_what_chance_reaches():
    compared = [Compared('a', 'c', 2, (1, 1), 0.1, found([[0.4, 0.9]], [0.3] * 99))]
    canvas = draw(compared, level=0.01)
    assert canvas.axes.shape == (1, 1) and canvas.axes[0, 0].get_ylabel() == 'block of c, run 2'
    bar = canvas.figure.axes[-1]
    assert [line.get_ydata()[0] for line in bar.lines[-2:]] == [0.1, 0.3]
    assert 'p above 0.01' in [text.get_text() for text in canvas.figure.legends[0].get_texts()]
