"""Runs of one label have names that tell them apart; a run that is alone has its label."""
from types import SimpleNamespace

import pytest

from lbbt_mm.figures.run_names import message_names, one_of, short_names


def runs(*labels_and_seeds):
    return [SimpleNamespace(label=label, checkpoint=f'{number}.pth',
                            cfg=dict(randomness=dict(seed=seed)) if seed != 'no' else {})
            for number, (label, seed) in enumerate(labels_and_seeds)]


def test_messages_name_the_checkpoint_where_a_label_has_several():
    assert message_names(runs(('a', 0), ('b', 0), ('a', 1))) == ['a (0.pth)', 'b', 'a (2.pth)']


@pytest.mark.parametrize('seeds, found', [
    ((0, 2), ['a, seed 0', 'b', 'a, seed 2']), ((1, 1), ['a, run 1', 'b', 'a, run 2']),
    ((0, 'no'), ['a, run 1', 'b', 'a, run 2'])])
def test_pictures_name_the_seed_or_count(seeds, found):
    assert short_names(runs(('a', seeds[0]), ('b', 0), ('a', seeds[1]))) == found


def test_of_one_run_nothing_is_said():
    assert (one_of(1), one_of(3)) == ('', '\n(1 of 3 runs)')
