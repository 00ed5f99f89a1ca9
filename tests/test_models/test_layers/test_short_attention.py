"""Plain attention for short bfloat16 sequences: the same function as torch's."""
import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.models.layers.short_attention import is_short_bf16_training, short_attention


def qkv(heads=6, kv_heads=2, queries=5, keys=7, dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.randn(2, h, n, 8, dtype=dtype, requires_grad=True)
            for h, n in ((heads, queries), (kv_heads, keys), (kv_heads, keys))]


@pytest.mark.parametrize('kv_heads', [1, 2, 6])
@pytest.mark.parametrize('case', ['plain', 'padding', 'causal', 'causal and padding', 'scale'])
def test_equals_torch_forward_and_backward(case, kv_heads):
    q, k, v = qkv(kv_heads=kv_heads, queries=7)
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[1, ..., 4:] = False
    mask = mask if 'padding' in case else None
    causal, scale = 'causal' in case, 0.7 if case == 'scale' else None
    ours = short_attention(q, k, v, mask, causal, scale)
    allowed = torch.ones(7, 7, dtype=torch.bool).tril() if causal else torch.ones(7, 7, dtype=torch.bool)
    allowed = allowed if mask is None else allowed & mask
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=scale, enable_gqa=True)
    torch.testing.assert_close(ours, theirs)
    grad = torch.randn_like(ours)
    for a, b in zip(torch.autograd.grad(ours, (q, k, v), grad), torch.autograd.grad(theirs, (q, k, v), grad)):
        torch.testing.assert_close(a, b)


def test_is_used_only_where_it_is_faster():
    q, k, _ = qkv(dtype=torch.bfloat16)
    assert is_short_bf16_training(q, k)
    with torch.no_grad():
        assert not is_short_bf16_training(q, k)
    assert not is_short_bf16_training(q.float(), k.float())
    long = torch.zeros(1, 1, 1000, 8, dtype=torch.bfloat16, requires_grad=True)
    assert not is_short_bf16_training(long, long)
