import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.models.layers import fast_dropout
from lbbt_mm.models.layers.fast_dropout import Dropout, attention_with_dropout
from tests.closeness import assert_close, assert_near


def gradients(output, *tensors):
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output.dtype)
    return torch.autograd.grad((output * weights).sum(), tensors)


# ------------------------------------------------------------------------------------------------- Dropout
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


# --------------------------------------------------------------------------------------- attention dropout
def tensors(heads=4, kv_heads=4, num_queries=6, num_keys=9, head_dims=8, dtype=torch.float64):
    return [torch.randn(2, count, length, head_dims, dtype=dtype, requires_grad=True)
            for count, length in ((heads, num_queries), (kv_heads, num_keys), (kv_heads, num_keys))]


def reference(q, k, v, mask, rate, causal, scale, seed):
    """The same attention written out, with the very mask that the fast one draws."""
    torch.manual_seed(seed)
    shape = torch.Size((q.shape[0] * q.shape[1], q.shape[2], k.shape[2]))
    dropped, factor = fast_dropout._keep_mask(shape, rate, invert=True)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) * (q.shape[-1]**-0.5 if scale is None else scale)
    if mask is not None:
        scores = scores.masked_fill(~mask, float('-inf'))
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=bool).tril(), float('-inf'))
    weights = scores.softmax(-1) * ~dropped.view(scores.shape) * factor
    return weights @ v


MASKS = {
    'none': None,
    'padding': torch.arange(9)[None, None, None] < torch.tensor([9, 5])[:, None, None, None],
    'one for all': torch.arange(9).view(1, 1, 1, 9) < 7,
    'pairwise': torch.arange(9).view(1, 1, 1, 9) <= torch.arange(6).view(1, 1, 6, 1) + 2,
}


@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('kv_heads', [4, 2, 1])
@pytest.mark.parametrize('scale', [None, 0.7])
def test_attention_and_its_gradients_equal_the_written_out_form(mask, causal, kv_heads, scale):
    q, k, v = tensors(kv_heads=kv_heads)
    torch.manual_seed(3)
    out = attention_with_dropout(q, k, v, MASKS[mask], 0.3, causal, scale)
    expected = reference(q, k, v, MASKS[mask], 0.3, causal, scale, seed=3)
    # probabilities are in single precision, logits of up to 20 before them: their error is that of the exponent
    single = dict(terms=9, dtype=torch.float32)
    assert_close(out, expected, depth=2, **single)
    assert_close(gradients(out, q, k, v), gradients(expected, q, k, v), depth=4, **single)


@pytest.mark.parametrize('chunk', [1, 60, 200, 1 << 20])
def test_result_does_not_depend_on_how_many_heads_are_computed_at_once(chunk, monkeypatch):
    # each chunk draws its own numbers, so only dropout at rate zero can be compared
    monkeypatch.setattr(fast_dropout, '_CHUNK', chunk)
    q, k, v = tensors(dtype=torch.float32)
    out = attention_with_dropout(q, k, v, MASKS['padding'], 0.)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=MASKS['padding'])
    assert_close(out, expected, terms=9)
    assert_close(gradients(out, q, k, v), gradients(expected, q, k, v), depth=2, terms=9)


def test_rate_and_mean_of_dropped_attention_are_right():
    q, k = torch.zeros(1, 2, 400, 4), torch.zeros(1, 2, 400, 4)  # uniform weights of 1 / 400
    v = torch.eye(400).expand(1, 2, 400, 400)  # so the output is the weights themselves
    weights = attention_with_dropout(q, k, v, None, 0.2) * 400
    assert (weights == 0).float().mean().item() == pytest.approx(0.2, abs=0.003)
    assert weights.mean().item() == pytest.approx(1, abs=0.005)
    assert weights.max().item() == pytest.approx(1.25, abs=1e-3)
    halves = (weights[..., :200] == 0).float().mean(), (weights[..., 200:] == 0).float().mean()
    assert abs(halves[0] - halves[1]) < 0.006


def test_average_over_masks_is_attention_without_dropout():
    q, k, v = (x.detach().float()[:1] for x in tensors())
    mean = attention_with_dropout(*(x.expand(4000, -1, -1, -1) for x in (q, k, v)), None, 0.3).mean(0, keepdim=True)
    torch.testing.assert_close(mean, F.scaled_dot_product_attention(q, k, v), atol=0.06, rtol=0)


@pytest.mark.parametrize('causal', [False, True])
def test_a_query_that_may_look_nowhere_gets_zeros_and_no_gradient(causal):
    q, k, v = tensors(dtype=torch.float32)
    mask = torch.ones(2, 1, 1, 9, dtype=bool)
    mask[1] = False
    out = attention_with_dropout(q, k, v, mask, 0.1, causal)
    assert (out[1] == 0).all() and (out[0] != 0).any()
    for grad in gradients(out, q, k, v):
        assert torch.isfinite(grad).all() and (grad[1] == 0).all() and (grad[0] != 0).any()


def test_same_seed_gives_the_same_attention():
    q, k, v = tensors()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(attention_with_dropout(q, k, v, None, 0.5))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


def test_bfloat16_stays_near_float32():
    q, k, v = tensors(num_queries=40, num_keys=50, dtype=torch.float32)
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(1)
        out = attention_with_dropout(q.to(dtype), k.to(dtype), v.to(dtype), None, 0.2)
        assert out.dtype == dtype
        results[dtype] = [out.float(), *gradients(out.float(), q, k, v)]
    for low, high in zip(results[torch.bfloat16], results[torch.float32]):
        assert_near(low, high, torch.bfloat16)


def test_autocast_computes_in_bfloat16_and_gives_float32_gradients():
    q, k, v = tensors(dtype=torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        out = attention_with_dropout(q, k, v, None, 0.2)
        assert out.dtype == torch.bfloat16
        # a backward pass inside the context is no one's habit, and still has to work
        grads = gradients(out.float(), q, k, v)
    assert {grad.dtype for grad in grads} == {torch.float32}


def test_large_logits_do_not_overflow():
    q, k, v = (100 * x.detach().float() for x in tensors())
    q.requires_grad_()
    out = attention_with_dropout(q, k, v, None, 0.1)
    assert torch.isfinite(out).all() and torch.isfinite(gradients(out, q)[0]).all()
