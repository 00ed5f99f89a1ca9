"""How a language model is named on the command line, and in tables."""
import argparse

import pytest

from lbbt_mm.experiments.source import Source


def test_a_name_and_what_is_behind_it():
    assert Source.read('gpt2=a/b=c') == Source('gpt2', 'a/b=c')
    assert Source.read('gpt2=a').label('random') == 'gpt2-random' and Source().label('random') == 'random'


@pytest.mark.parametrize('text', ('a', 'a=', '=b', 'a/b=c', '..=c', '-a=c', 'a b=c', ''))
def test_what_is_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match='expected NAME=CHECKPOINT, for example'):
        Source.read(text)
