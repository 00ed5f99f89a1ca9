"""Tables of mutual nearest neighbours: pairs of blocks, sizes of models, and what is recommended."""
import numpy as np
import pytest
import torch

from lbbt_mm.figures.mutual_knn_tables import (Compared, best_pairs, models_table, pairs_table, recommendation,
                                               sizes_table)
from tests.test_figures.compared_blocks import found


def test_every_pair_of_blocks_has_a_row_with_what_chance_gives():
    calibrated = found([[0.6, 0.1], [0.2, 0.3], [0.25, 0.]], [0.2] * 19)
    table = pairs_table([Compared('a', 'c', 1, (1, 1), 0.05, calibrated)])
    assert list(zip(table.language_block, table.vision_block)) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert table.score.tolist() == calibrated.scores.flatten().tolist()
    assert table.p.tolist() == pytest.approx([0.05, 1, 1, 0.05, 0.05, 1])
    assert table.calibrated.tolist() == pytest.approx([0.5, 0, 0, 0.125, 0.0625, 0])
    assert set(table.chance) == {0.05} and set(table.run) == {1} and set(table.vision) == {'c'}


def test_a_language_model_and_a_run_have_a_row_with_their_best_pair():
    models = models_table([Compared('a', 'c', 0, (7, 9), 0.05, found([[0.1, 0.6], [0.6, 0.2]], [0.2] * 19), 0.25)])
    row, = models.to_dict('records')
    assert (row['language_block'], row['vision_block'], row['equal'], row['permutations']) == (0, 1, 2, 19)
    assert (row['language_parameters'], row['vision_parameters'], row['twins'], row['threshold']) == (7, 9, 0.25, 0.2)
    assert row['p'] == pytest.approx(0.05) and row['calibrated'] == pytest.approx(0.5)


def test_sizes_are_compared_in_a_table():
    compared = [Compared(text, vision, number, (size * 10**6, width * 10**6), 0.1, found([[score, 0.1]]))
                for text, size in (('large', 1700), ('base', 135))
                for vision, width, number, score in (('tiny', 5, 0, 0.6), ('tiny', 5, 1, 0.8), ('small', 22, 0, 0.15))]
    table = sizes_table(models_table(compared))
    assert list(table.columns) == ['language', 'parameters', 'tiny (5.0M)', 'small (22.0M)']
    assert list(table.language) == ['large', 'base'] and list(table.parameters) == ['1,700.0M', '135.0M']
    assert list(table['tiny (5.0M)']) == ['0.7000 ± 0.1414 (0.6250, p 0.01)'] * 2
    assert list(table['small (22.0M)']) == ['0.1500 (0.0000, p 1)'] * 2


def test_the_best_pairs_of_each_pair_of_models():
    rng = np.random.default_rng(0)
    compared = [Compared(text, vision, 0, (1, 1), 0.1, found(rng.uniform(size=(3, 4))))
                for text in 'ba' for vision in 'dc']
    table = best_pairs(compared)
    assert list(dict.fromkeys(zip(table.language, table.vision))) == [('b', 'd'), ('b', 'c'), ('a', 'd'), ('a', 'c')]
    for one, (_, own) in zip(compared, table.groupby(['language', 'vision'], sort=False)):
        assert own.score.tolist() == pytest.approx(sorted(one.found.scores.flatten().tolist())[:-6:-1])
        for row in own.itertuples():
            assert one.found.scores[row.language_block, row.vision_block].item() == row.score


@pytest.mark.parametrize('score, maxima, said', [
    (0.5, [0.2] * 99, 'tiny and vit: recommended is language.blocks=1 with insert_after=2, both counted from 0, the first '
     'of 2 pairs with this score: score 0.5000, calibrated 0.3750, p = 0.01.'),
    (0.5, [0.6] * 5 + [0.2] * 94, 'tiny and vit: nothing is to be recommended. The best pair has 0.5000, and p = 0.06: '
     'permuted captions reach that too.'),
    (0.5, [0.6] * 4 + [0.2] * 95, 'p = 0.05.')])
def test_nothing_is_recommended_that_permuted_captions_reach(score, maxima, said):
    scores = torch.full((2, 4), 0.1)
    scores[1, 2:] = score
    models = models_table([Compared('tiny', 'vit', 0, (1, 1), 0.1, found(scores, maxima))])
    assert recommendation(next(models.itertuples())).endswith(said)


@pytest.mark.parametrize('twins, said', [(0.5, 'Of 50% of the samples'), (0.49, 'recommended is')])
def test_nothing_is_recommended_where_the_language_model_plays_no_part(twins, said):
    models = models_table([Compared('tiny', 'vit', 0, (1, 1), 0.1, found([[0.9, 0.1]]), twins)])
    assert said in recommendation(next(models.itertuples()))
