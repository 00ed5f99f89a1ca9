"""Attention where torch's kernel is slow on CPUs: the same function, no less exact, with torch's dropout."""
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.language import open_checkpoint
from lbbt_mm.models.layers import cpu_attention
from lbbt_mm.models.layers.attention import attend
from lbbt_mm.models.layers.cpu_attention import quickest_on_cpu
from lbbt_mm.models.layers.fast_dropout import keep_mask
from tests.closeness import assert_close, assert_near
from tests.tiny_checkpoints import copied_block

chunked = partial(attend, kernel='chunked')


def gradients(output, *tensors):
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output.dtype)
    return torch.autograd.grad((output * weights).sum(), tensors)


# ------------------------------------------------------------------------------------------------- dropout
def tensors(heads=4, kv_heads=4, num_queries=6, num_keys=9, head_dims=8, dtype=torch.float64):
    return [torch.randn(2, count, length, head_dims, dtype=dtype, requires_grad=True)
            for count, length in ((heads, num_queries), (kv_heads, num_keys), (kv_heads, num_keys))]


def reference(q, k, v, mask, rate, causal, scale, seed):
    """The same attention written out, with the very mask that the fast one draws."""
    torch.manual_seed(seed)
    shape = torch.Size((q.shape[0] * q.shape[1], q.shape[2], k.shape[2]))
    dropped, factor = keep_mask(shape, rate, invert=True)
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
def test_dropped_attention_and_its_gradients_equal_the_written_out_form(mask, causal, kv_heads, scale):
    q, k, v = tensors(kv_heads=kv_heads)
    torch.manual_seed(3)
    out = chunked(q, k, v, MASKS[mask], causal=causal, scale=scale, drop=0.3)
    expected = reference(q, k, v, MASKS[mask], 0.3, causal, scale, seed=3)
    # probabilities are in single precision, logits of up to 20 before them: their error is that of the exponent
    single = dict(terms=9, dtype=torch.float32)
    assert_close(out, expected, depth=2, **single)
    assert_close(gradients(out, q, k, v), gradients(expected, q, k, v), depth=4, **single)


@pytest.mark.parametrize('chunk', [1, 60, 200, 1 << 20])
def test_result_does_not_depend_on_how_many_heads_are_computed_at_once(chunk, monkeypatch):
    # each chunk draws its own numbers, so only dropout at rate zero can be compared
    monkeypatch.setattr(cpu_attention, '_CHUNK', chunk)
    q, k, v = tensors(dtype=torch.float32)
    out = chunked(q, k, v, MASKS['padding'])
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=MASKS['padding'])
    assert_close(out, expected, terms=9)
    assert_close(gradients(out, q, k, v), gradients(expected, q, k, v), depth=2, terms=9)


def test_rate_and_mean_of_dropped_attention_are_right():
    q, k = torch.zeros(1, 2, 400, 4), torch.zeros(1, 2, 400, 4)  # uniform weights of 1 / 400
    v = torch.eye(400).expand(1, 2, 400, 400)  # so the output is the weights themselves
    weights = chunked(q, k, v, drop=0.2) * 400
    assert (weights == 0).float().mean().item() == pytest.approx(0.2, abs=0.003)
    assert weights.mean().item() == pytest.approx(1, abs=0.005)
    assert weights.max().item() == pytest.approx(1.25, abs=1e-3)
    halves = (weights[..., :200] == 0).float().mean(), (weights[..., 200:] == 0).float().mean()
    assert abs(halves[0] - halves[1]) < 0.006


def test_average_over_masks_is_attention_without_dropout():
    q, k, v = (x.detach().float()[:1] for x in tensors())
    mean = chunked(*(x.expand(4000, -1, -1, -1) for x in (q, k, v)), drop=0.3).mean(0, keepdim=True)
    torch.testing.assert_close(mean, F.scaled_dot_product_attention(q, k, v), atol=0.06, rtol=0)


def test_same_seed_gives_the_same_attention():
    q, k, v = tensors()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(chunked(q, k, v, drop=0.5))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


def test_bfloat16_stays_near_float32():
    q, k, v = tensors(num_queries=40, num_keys=50, dtype=torch.float32)
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(1)
        out = chunked(q.to(dtype), k.to(dtype), v.to(dtype), drop=0.2)
        assert out.dtype == dtype
        results[dtype] = [out.float(), *gradients(out.float(), q, k, v)]
    for low, high in zip(results[torch.bfloat16], results[torch.float32]):
        assert_near(low, high, torch.bfloat16)


def test_autocast_computes_in_bfloat16_and_gives_float32_gradients():
    q, k, v = tensors(dtype=torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        out = chunked(q, k, v, drop=0.2)
        assert out.dtype == torch.bfloat16
        # a backward pass inside the context is no one's habit, and still has to work
        grads = gradients(out.float(), q, k, v)
    assert {grad.dtype for grad in grads} == {torch.float32}


def test_large_logits_do_not_overflow():
    q, k, v = (100 * x.detach().float() for x in tensors())
    q.requires_grad_()
    out = chunked(q, k, v, drop=0.1)
    assert torch.isfinite(out).all() and torch.isfinite(gradients(out, q)[0]).all()


# ------------------------------------------------------------------------------------------------- exactness
def qkv(heads=6, kv_heads=2, queries=5, keys=7, dims=8, std=1., dtype=torch.float32):
    """Tensors whose logits have standard deviation ``std``."""
    return [(torch.randn(2, h, n, dims) * scale).to(dtype).requires_grad_()
            for h, n, scale in ((heads, queries, std**0.5), (kv_heads, keys, std**0.5), (kv_heads, keys, 1.))]


def torch_kernel(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def errors(attention, q, k, v):
    """Relative errors of the output and the three gradients against double precision."""
    grad = torch.linspace(-1, 1, q.numel()).view(q.shape).bfloat16()
    exact = [part.detach().double().requires_grad_() for part in (q, k, v)]
    expected = torch_kernel(*exact)
    found = attention(q, k, v)
    pairs = [(found, expected), *zip(torch.autograd.grad(found, (q, k, v), grad),
                                     torch.autograd.grad(expected, exact, grad.double()))]
    return [float((one.double() - other).norm() / other.norm()) for one, other in pairs]


@pytest.mark.parametrize('kernel', ['float32', 'chunked'])
@pytest.mark.parametrize('std', [1, 3, 10])
@pytest.mark.parametrize('autocast', [False, True])
def test_is_as_exact_as_torchs_kernel_whatever_the_logits(kernel, std, autocast):
    parts = qkv(4, 4, 64, 64, 64, std, torch.bfloat16)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        ours = errors(partial(attend, kernel=kernel), *parts)
    assert all(one <= 1.05 * other for one, other in zip(ours, errors(torch_kernel, *parts))), ours
    assert max(ours) < 2.5e-3  # rounding the result alone gives 1.7e-3


@pytest.mark.parametrize('kernel', ['float32', 'chunked'])
@pytest.mark.parametrize('index', [0, 3, 5, 11])
def test_is_as_exact_on_real_language_weights(kernel, index, gpt2_mini):
    """Blocks 3 to 5 of a trained GPT-2 have logits that products in bfloat16 lose."""
    block = copied_block(open_checkpoint(gpt2_mini), index)
    tokens = block.norm1(torch.randn(2, 64, block.spec.embed_dims))
    parts = [part.unflatten(-1, (-1, block.spec.head_dims)).transpose(1, 2).bfloat16().detach().requires_grad_()
             for part in block.attn.qkv(tokens).split(block.spec.qkv_dims, dim=-1)]
    ours = errors(partial(attend, kernel=kernel), *parts)
    assert all(one <= 1.05 * other for one, other in zip(ours, errors(torch_kernel, *parts))), ours


def test_each_is_used_only_where_it_is_faster():
    q, k, _ = qkv(dtype=torch.bfloat16)
    choose = partial(quickest_on_cpu, dtype=torch.bfloat16, drop=0.)
    assert choose(q, k) == 'float32'
    with torch.no_grad():
        assert choose(q, k) == 'fused' and choose(q, k, drop=0.1) == 'chunked'
    assert choose(q.float(), k.float(), dtype=torch.float32) == 'fused'
    assert choose(q.float(), k.float(), dtype=torch.float32, drop=0.1) == 'chunked'
    long = torch.zeros(1, 1, 1000, 8, dtype=torch.bfloat16, requires_grad=True)
    assert choose(long, long) == 'fused'
