"""Attention of short bfloat16 sequences in training: torch's function, and no less exact than torch's own kernel."""
import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.language import open_checkpoint
from lbbt_mm.models.layers.fast_dropout import attention_with_dropout
from lbbt_mm.models.layers.short_attention import is_short_bf16_training, short_attention
from tests.closeness import assert_close
from tests.tiny_checkpoints import copied_block


def qkv(heads=6, kv_heads=2, queries=5, keys=7, dims=8, std=1., dtype=torch.float32):
    """Tensors whose logits have standard deviation ``std``."""
    return [(torch.randn(2, h, n, dims) * scale).to(dtype).requires_grad_()
            for h, n, scale in ((heads, queries, std**0.5), (kv_heads, keys, std**0.5), (kv_heads, keys, 1.))]


@pytest.mark.parametrize('kv_heads', [1, 2, 6])
@pytest.mark.parametrize('case', ['plain', 'padding', 'causal', 'scale'])
def test_equals_torch_forward_and_backward(case, kv_heads):
    q, k, v = qkv(kv_heads=kv_heads, queries=7)
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[1, ..., 4:] = False
    mask = mask if case == 'padding' else None
    causal, scale = case == 'causal', 0.7 if case == 'scale' else None
    ours = short_attention(q, k, v, mask, causal, scale)
    allowed = torch.ones(7, 7, dtype=torch.bool).tril() if causal else torch.ones(7, 7, dtype=torch.bool)
    allowed = allowed if mask is None else allowed & mask
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=scale, enable_gqa=True)
    assert_close(ours, theirs, terms=9)
    grad = torch.randn_like(ours)
    assert_close(torch.autograd.grad(ours, (q, k, v), grad), torch.autograd.grad(theirs, (q, k, v), grad), depth=2, terms=9)


def without_dropout(q, k, v):
    """The kernel for attention dropout, at a rate that drops nothing."""
    return attention_with_dropout(q, k, v, None, 1e-7)


def torch_kernel(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def errors(attend, q, k, v):
    """Relative errors of the output and the three gradients against double precision."""
    grad = torch.linspace(-1, 1, q.numel()).view(q.shape).bfloat16()
    exact = [part.detach().double().requires_grad_() for part in (q, k, v)]
    expected = torch_kernel(*exact)
    found = attend(q, k, v)
    pairs = [(found, expected), *zip(torch.autograd.grad(found, (q, k, v), grad),
                                     torch.autograd.grad(expected, exact, grad.double()))]
    return [float((one.double() - other).norm() / other.norm()) for one, other in pairs]


KERNELS = [lambda q, k, v: short_attention(q, k, v, None, False, None), without_dropout]


@pytest.mark.parametrize('attend', KERNELS, ids=['short', 'dropout'])
@pytest.mark.parametrize('std', [1, 3, 10])
@pytest.mark.parametrize('autocast', [False, True])
def test_is_as_exact_as_torchs_kernel_whatever_the_logits(attend, std, autocast):
    parts = qkv(4, 4, 64, 64, 64, std, torch.bfloat16)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        ours = errors(attend, *parts)
    assert all(one <= 1.05 * other for one, other in zip(ours, errors(torch_kernel, *parts))), ours
    assert max(ours) < 2.5e-3  # rounding the result alone gives 1.7e-3


@pytest.mark.parametrize('attend', KERNELS, ids=['short', 'dropout'])
@pytest.mark.parametrize('index', [0, 3, 5, 11])
def test_is_as_exact_on_real_language_weights(attend, index, gpt2_mini):
    """Blocks 3 to 5 of a trained GPT-2 have logits that products in bfloat16 lose."""
    block = copied_block(open_checkpoint(gpt2_mini), index)
    tokens = block.norm1(torch.randn(2, 64, block.spec.embed_dims))
    parts = [part.unflatten(-1, (-1, block.spec.head_dims)).transpose(1, 2).bfloat16().detach().requires_grad_()
             for part in block.attn.qkv(tokens).split(block.spec.qkv_dims, dim=-1)]
    ours = errors(attend, *parts)
    assert all(one <= 1.05 * other for one, other in zip(ours, errors(torch_kernel, *parts))), ours


def test_is_used_only_where_it_is_faster():
    q, k, _ = qkv(dtype=torch.bfloat16)
    assert is_short_bf16_training(q, k)
    with torch.no_grad():
        assert not is_short_bf16_training(q, k)
    assert not is_short_bf16_training(q.float(), k.float())
    long = torch.zeros(1, 1, 1000, 8, dtype=torch.bfloat16, requires_grad=True)
    assert not is_short_bf16_training(long, long)
