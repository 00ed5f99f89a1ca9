"""Each number of 16 bits is counted in its place, and each of 32 in that of its upper half."""
import numpy as np
import pytest
import torch

from lbbt_mm.analysis.bit_patterns import AT_ONCE, FEW, PATTERNS, bounds_of_patterns, count_patterns, patterns_of

ALL = torch.arange(PATTERNS, dtype=torch.int32)


@pytest.mark.parametrize('size', [PATTERNS, FEW - 1, FEW, AT_ONCE])
def test_each_of_all_patterns_is_counted(size):
    """Few and many are counted in two ways."""
    patterns = torch.randint(PATTERNS, (size, ), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    patterns[:PATTERNS] = ALL
    found = count_patterns(patterns.to(torch.uint16))
    assert found.dtype == np.int64 and found.min() > 0
    assert (found == np.bincount(patterns.numpy(), minlength=PATTERNS)).all()


def test_a_pattern_that_all_numbers_have():
    found = count_patterns(torch.full((AT_ONCE, ), PATTERNS - 1, dtype=torch.int32).to(torch.uint16))
    assert found[-1] == AT_ONCE == found.sum() and AT_ONCE < 2**24  # where 32-bit floats no longer are all integers


def test_no_number():
    assert count_patterns(torch.zeros(0, dtype=torch.uint16)).shape == (PATTERNS, )


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_a_pattern_of_16_bits_is_one_number(dtype):
    values = ALL.to(torch.uint16).view(dtype)
    assert (patterns_of(values).int() == ALL).all()
    low, high = bounds_of_patterns(dtype)
    assert np.array_equal(low, values.double().numpy(), equal_nan=True) and low is high


def test_a_pattern_of_32_bits_is_an_interval():
    near, far = ((ALL << 16 | lower).view(torch.float32) for lower in (0, 2**16 - 1))
    assert (patterns_of(near).int() == ALL).all() and (patterns_of(far).int() == ALL).all()
    low, high = bounds_of_patterns(torch.float32)
    finite = np.isfinite(low + high)
    assert (low <= high)[finite].all() and finite.sum() == 2 * 255 * 128
    assert {low[0x3f80], high[0x3f80]} == {1., 1 + 2**-7 - 2**-23}
    assert {low[0xbf80], high[0xbf80]} == {-1., -1 - 2**-7 + 2**-23}
