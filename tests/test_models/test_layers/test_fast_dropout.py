import pytest
import torch

from lbbt_mm.models.layers.fast_dropout import Dropout
from tests.closeness import assert_close


@pytest.mark.parametrize('rate', [0.01, 0.1, 0.5, 0.9])
def test_rate_and_mean_are_those_of_torch(rate):
    x = torch.ones(1_000_000)
    out = Dropout(rate)(x)
    assert (out == 0).float().mean().item() == pytest.approx(rate, abs=0.002)
    assert out.mean().item() == pytest.approx(1, abs=0.01)
    kept = out[out != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - rate)), rtol=1e-3 / (1 - rate))


def test_elements_are_dropped_independently():
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).float() - 0.5
    for distance in (1, 2, 3, 4, 1000):  # four elements share a random number
        assert (dropped[distance:] * dropped[:-distance]).mean().item() == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize('shape', [(), (1, ), (7, ), (2, 3, 5), (0, 4)])
def test_shape_and_dtype_are_kept(dtype, shape):
    x = torch.ones(shape, dtype=dtype)
    out = Dropout(0.3)(x)
    assert out.shape == x.shape and out.dtype == dtype


def test_gradient_passes_where_the_value_did():
    x = torch.randn(1000, requires_grad=True)
    out = Dropout(0.3)(x)
    grad, = torch.autograd.grad(out.sum(), x)
    assert_close(grad * x, out, terms=1)


def test_strided_inputs_are_not_mixed_up():
    x = torch.arange(1., 13.).view(3, 4).T
    out = Dropout(0.5)(x)
    kept = out != 0
    torch.testing.assert_close(out[kept], 2 * x[kept], rtol=1e-4, atol=0)


def test_evaluation_and_rate_zero_are_the_identity():
    x = torch.randn(100)
    assert Dropout(0.5).eval()(x) is x or torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.)(x), x)


def test_extreme_rates_behave_like_torch():
    x = torch.ones(1000)
    assert torch.equal(Dropout(1.)(x), torch.zeros(1000))
    assert torch.isfinite(Dropout(1 - 1e-7)(x)).all()


def test_same_seed_gives_the_same_mask():
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(Dropout(0.5)(torch.ones(100)))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


def test_input_is_left_as_it_is():
    x = torch.ones(100)
    Dropout(0.5, inplace=False)(x)
    assert torch.equal(x, torch.ones(100))
