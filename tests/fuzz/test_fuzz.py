"""Two hundred damaged checkpoints; ``make fuzz`` has ten thousand."""
from collections import Counter

import pytest

from tests.fuzz.fuzzer import KINDS, Fuzzer

CASES = 200


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    fuzzer = Fuzzer(tmp_path_factory.mktemp('fuzz'))
    return [fuzzer.run(seed) for seed in range(CASES)]


def test_each_is_opened_with_the_right_values_or_refused(outcomes):
    assert [outcome for outcome in outcomes if outcome.kind not in ('opened', 'refused')] == []


def test_the_cases_are_of_both_sorts_and_of_every_kind(outcomes):
    """Else the test before would show little."""
    counts = Counter(outcome.kind for outcome in outcomes)
    assert counts['opened'] > 0.1 * CASES and counts['refused'] > 0.3 * CASES
    for kind in KINDS:
        assert any(f' {kind},' in outcome.what for outcome in outcomes)


def test_a_case_is_the_same_whenever_it_is_run(outcomes, tmp_path):
    again = Fuzzer(tmp_path).run(17)
    assert (again.kind, again.what) == (outcomes[17].kind, outcomes[17].what)
