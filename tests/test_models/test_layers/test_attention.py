"""One door: every kernel is the same function of queries, keys, values, mask, bias and order."""
import pytest
import torch

from lbbt_mm.language import read_spec
from lbbt_mm.models.layers import LanguageBlock
from lbbt_mm.models.layers.attention import KERNELS, attend
from tests.closeness import assert_close
from tests.tiny_checkpoints import CONFIGS

MASKS = {
    'none': None,
    'padding': torch.arange(9)[None, None, None] < torch.tensor([9, 5])[:, None, None, None],
    'pairwise': torch.arange(9).view(1, 1, 1, 9) <= torch.arange(6).view(1, 1, 6, 1) + 2,
}


def tensors(kv_heads=2, num_keys=9, dtype=torch.float64, **options):
    return [torch.randn(2, heads, length, 8, dtype=dtype, requires_grad=True, **options)
            for heads, length in ((4, 6), (kv_heads, num_keys), (kv_heads, num_keys))]


def written_out(q, k, v, mask=None, bias=None, causal=False, scale=None):
    """Attention as the paper has it, one head and one query at a time."""
    rows, causal_mask = [], torch.ones(q.shape[2], k.shape[2], dtype=bool).tril()
    for sample in range(len(q)):
        for head in range(q.shape[1]):
            group = head * k.shape[1] // q.shape[1]
            logits = q[sample, head] @ k[sample, group].T * (q.shape[-1]**-0.5 if scale is None else scale)
            for given, hide in ((mask, lambda x, m: x.masked_fill(~m, -torch.inf)), (bias, torch.add)):
                if given is not None:
                    logits = hide(logits, given.expand(len(q), q.shape[1], *logits.shape)[sample, head])
            if causal:
                logits = logits.masked_fill(~causal_mask, -torch.inf)
            rows.append(logits.softmax(-1) @ v[sample, group])
    return torch.stack(rows).view(q.shape)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('kv_heads', [4, 2, 1])
@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('scale, with_bias', [(None, False), (0.7, True)])
def test_output_and_gradients_are_those_of_the_formula(kernel, kv_heads, mask, causal, scale, with_bias):
    parts = tensors(kv_heads)
    bias = torch.randn(1, 4, 6, 9, dtype=torch.float64, requires_grad=True) if with_bias else None
    parts += [bias] if with_bias else []
    options = dict(mask=MASKS[mask], bias=bias, causal=causal, scale=scale)
    out, expected = attend(*parts[:3], **options, kernel=kernel), written_out(*parts[:3], **options)
    single = dict(terms=9, dtype=torch.float32)  # of the chunked kernel's probabilities
    assert_close(out, expected, depth=2, **single)
    grad = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    assert_close(torch.autograd.grad(out, parts, grad), torch.autograd.grad(expected, parts, grad), depth=4, **single)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('said_by', ['mask', 'bias', 'both'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_query_that_may_look_nowhere_gives_zeros_and_gets_no_gradient(kernel, causal, said_by, dtype):
    q, k, v = tensors(dtype=dtype)
    mask = torch.ones(2, 1, 1, 9, dtype=bool)
    mask[1] = False
    bias = torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -torch.inf)
    if said_by == 'both':  # each forbids half
        mask[1, ..., :4] = True
        bias[1, ..., 4:] = 0.
    out = attend(q, k, v, mask if said_by != 'bias' else None, bias if said_by != 'mask' else None, causal, kernel=kernel)
    assert (out[1] == 0).all() and (out[0] != 0).any()
    for grad in torch.autograd.grad(out.square().sum(), (q, k, v)):
        assert torch.isfinite(grad).all() and (grad[1] == 0).all() and (grad[0] != 0).any()


@pytest.mark.parametrize('case', ['plain', 'mask', 'bias', 'causal', 'all'])
@pytest.mark.parametrize('kv_heads', [4, 2])
def test_the_math_kernel_can_be_differentiated_twice(case, kv_heads):
    q, k, v = tensors(kv_heads, num_keys=6)
    mask = torch.arange(6) < torch.tensor([[[[6]]], [[[4]]]])
    mask = mask.expand(2, 1, 6, 6).clone()
    mask[1, :, 3] = False  # one that may look nowhere
    bias = torch.randn(1, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    given = dict(plain={}, mask=dict(mask=mask), bias=dict(bias=bias), causal=dict(causal=True),
                 all=dict(mask=mask, bias=bias, causal=True))[case]
    small = [part[:, :, :3, :2].detach() for part in (q, k, v)] if case == 'plain' else [
        part[..., :2].detach() for part in (q, k, v)]
    inputs = [part.requires_grad_() for part in small] + ([bias] if 'bias' in given else [])

    def function(q, k, v, *rest):
        return attend(q, k, v, **{**given, **(dict(bias=rest[0]) if rest else {})}, kernel='math')

    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize('kernel', ['fused', 'float32', 'chunked'])
def test_no_other_kernel_gives_a_wrong_second_derivative(kernel):
    q, k, v = tensors(4)
    first, = torch.autograd.grad(attend(q, k, v, kernel=kernel).square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match='not implemented|once_differentiable'):
        first.square().sum().backward()


@pytest.mark.parametrize('model_type', ['gpt2', 'qwen3'])
def test_a_block_with_the_math_kernel_has_second_derivatives_in_every_parameter(model_type):
    block = LanguageBlock(read_spec(CONFIGS[model_type]).block, cross_attention=True, proj_drop=0.1, attention_kernel='math')
    x, memory = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    loss = block(x, memory=memory).pow(3).mean()
    parameters = list(block.parameters())
    first = torch.autograd.grad(loss, parameters, create_graph=True)
    torch.autograd.backward(sum(grad.square().sum() for grad in first))
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in parameters)


def test_the_math_kernel_drops_weights():
    q, k = torch.zeros(1, 2, 300, 4), torch.zeros(1, 2, 300, 4)  # uniform weights of 1 / 300
    v = torch.eye(300).expand(1, 2, 300, 300)  # so the output is the weights themselves
    weights = attend(q, k, v, drop=0.25, kernel='math') * 300
    assert (weights == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert weights.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('autocast', [False, True])
def test_half_precision_comes_back_as_it_came(kernel, autocast):
    q, k, v = tensors(dtype=torch.float32 if autocast else torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        assert attend(q, k, v, bias=torch.zeros(1, 1, 6, 9), kernel=kernel).dtype == torch.bfloat16


def test_a_kernel_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="^kernel='flash'; expected one of 'auto', 'fused', 'float32', 'chunked', 'math'"):
        attend(*tensors(), kernel='flash')
    with pytest.raises(ValueError, match="^attention_kernel=None; expected one of 'auto'"):
        LanguageBlock(read_spec(CONFIGS['gpt2']).block, attention_kernel=None)


def test_the_math_kernel_gives_gradients_of_each_sample_at_once():
    """By torch.func, as analyses of single samples take them."""
    q, k, v = (part.detach() for part in tensors())
    mask = torch.ones(1, 1, 6, 9, dtype=bool)
    mask[..., 2, :] = False

    def loss(q, k, v):
        return attend(q[None], k[None], v[None], mask, causal=True, kernel='math').square().sum()

    together = torch.func.vmap(torch.func.grad(loss))(q, k, v)
    assert_close(together, torch.stack([torch.func.grad(loss)(*one) for one in zip(q, k, v)]), terms=9)
