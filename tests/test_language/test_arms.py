"""The table of arms."""
from lbbt_mm.language import ARMS


def test_the_arms_are_those_of_the_design():
    assert tuple(ARMS) == ('language', 'host', 'random', 'shuffled', 'moment_matched', 'random_tuned', 'mappers', 'none',
                           'plain')
    assert [arm for arm in ARMS if not ARMS[arm].reads_weights] == [
        'host', 'random', 'random_tuned', 'mappers', 'none', 'plain']
    assert [arm for arm in ARMS if not ARMS[arm].has_blocks] == ['mappers', 'none', 'plain']
    assert [arm for arm in ARMS if not ARMS[arm].has_added_loss] == ['plain']
    assert [arm for arm in ARMS if ARMS[arm].leaves_host] == ['host']
