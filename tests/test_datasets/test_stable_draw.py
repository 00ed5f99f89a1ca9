"""Draws that must be the same on every machine and under every release; the numbers here were written down once."""
import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest

from lbbt_mm.datasets.stable_draw import check_draw, single_label, stable_generator, stable_hash, unit_interval
from tests.tool_processes import REPO, environment

PERMUTATION = [0, 4, 5, 7, 6, 3, 2, 1]


class TestHash:

    def test_it_is_the_sha_256_of_the_parts_as_json(self):
        assert stable_hash('é', 3) == int(hashlib.sha256(b'["\\u00e9", 3]').hexdigest(), 16)

    def test_it_keeps_parts_and_types_apart(self):
        assert len({stable_hash(*parts) for parts in (('a', 'b'), ('ab', ), ('ab', ''), ('', 'ab'), ('1', ), (1, ))}) == 6

    def test_another_process_gets_the_same(self):
        code = "from lbbt_mm.datasets.stable_draw import stable_hash; print(stable_hash(0, '', 'train/1.png'))"
        # Python's own hash would differ
        done = subprocess.run([sys.executable, '-c', code], env=environment(PYTHONHASHSEED='1', PYTHONPATH=REPO),
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[-1]) == stable_hash(0, '', 'train/1.png')


class TestNumbers:

    def test_hashes_spread_over_the_unit_interval(self):
        values = np.array([unit_interval(stable_hash(index)) for index in range(2000)])
        assert 0 <= values.min() and values.max() < 1
        assert abs(values.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 2000)  # four standard errors
        assert np.histogram(values, 10, (0, 1))[0].min() > 140

    def test_the_largest_value_is_below_one(self):
        assert unit_interval(2**53 - 1) == 1 - 2**-53 and unit_interval(2**53) == 0

    def test_streams_are_those_that_were_written_down(self):
        assert stable_generator(0, 'a').permutation(8).tolist() == PERMUTATION
        assert stable_generator(0, 'b').permutation(8).tolist() != PERMUTATION


class TestChecks:

    @pytest.mark.parametrize('ratio', [-0.1, 1.1, math.nan, '0.5', None, True])
    def test_a_ratio_that_is_none(self, ratio):
        with pytest.raises(ValueError, match='Owner: ratio=.*expected a number from 0'):
            check_draw('Owner', ratio, 0)

    @pytest.mark.parametrize('seed', [1.0, '1', None, False])
    def test_a_seed_that_is_none(self, seed):
        with pytest.raises(ValueError, match='Owner: seed=.*expected a whole number'):
            check_draw('Owner', 1, seed)

    @pytest.mark.parametrize('ratio', [0, 0.15, 1, np.float32(0.3)])
    def test_good_ones_pass(self, ratio):
        check_draw('Owner', ratio, -3)

    @pytest.mark.parametrize('label', [3, np.int64(3), np.array(3)])
    def test_one_label(self, label):
        assert single_label('Owner', label) == 3 and type(single_label('Owner', label)) is int

    @pytest.mark.parametrize('label', [[1, 2], np.array([1]), 1.0, True, None, 'cat'])
    def test_anything_else_is_no_label(self, label):
        with pytest.raises(ValueError, match='Owner: gt_label=.*one whole number per image'):
            single_label('Owner', label)
