"""The rule for tolerances: rounding passes it, a fault does not, whatever the size of the values."""
import pytest
import torch

from tests.closeness import assert_close, assert_near, is_close, rounding, size_of


@pytest.fixture(params=[1e-4, 1., 1e4])
def layer(request):
    """Weights, tokens and their products, of three sizes."""
    x, weight = request.param * torch.randn(20, 128), torch.randn(64, 128)
    return x, weight, x @ weight.T


def test_another_order_of_a_sum_is_rounding(layer):
    x, weight, expected = layer
    order = torch.randperm(128)
    parts = [x[:, part] @ weight[:, part].T for part in order.split(16)]
    assert_close(sum(parts), expected)
    assert_close(expected, x.double() @ weight.double().T, dtype=torch.float32)


def test_a_term_that_is_left_out_or_a_factor_that_is_slightly_off_is_none(layer):
    x, weight, expected = layer
    assert not is_close(x[:, 1:] @ weight[:, 1:].T, expected)
    assert not is_close(expected * 1.001, expected)
    assert not is_close(expected + 0.001 * size_of(expected), expected)


def test_what_is_no_number_and_whole_numbers_are_compared_exactly():
    assert not is_close(torch.tensor([1., float('nan')]), torch.ones(2))
    assert is_close(torch.tensor([1, 2]), torch.tensor([1, 2])) and not is_close(torch.tensor([1, 2]), torch.tensor([1, 3]))
    assert not is_close([torch.ones(2)], [torch.ones(2), torch.ones(2)])
    with pytest.raises(AssertionError, match='the second: .*not close'):
        assert_close([torch.ones(2)], [torch.zeros(2)], msg='the second')


def test_the_tolerance_grows_with_depth_length_of_sums_and_coarseness():
    plain = rounding()
    assert rounding(depth=3) == 3 * plain and rounding(terms=4 * 128) == 2 * plain
    assert rounding(dtype=torch.bfloat16) > 60_000 * plain > 60_000 * rounding(terms=1) > 0
    assert rounding() < 2e-5, 'a block differs by less than this from one that is right'


def test_the_size_may_be_that_of_what_cancels():
    difference = torch.full((4, ), 1e-6)
    assert not is_close(difference, torch.zeros(4)) and is_close(difference, torch.zeros(4), size=1.)
    assert size_of(torch.full((4, ), -2.), torch.ones(9), torch.tensor([7])) == 2


def test_a_coarse_type_is_judged_by_all_values_together():
    expected = torch.randn(1000)
    assert_near(expected.bfloat16(), expected, torch.bfloat16)
    with pytest.raises(AssertionError, match=r'off by 0.05\d+ of the size, 0.0312 allowed'):
        assert_near(expected * 1.05, expected, torch.bfloat16)
