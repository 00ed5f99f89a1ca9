"""BlockWatch shows what the blocks compute, and leaves no trace."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from lbbt_mm.models.blocks import measured_blocks
from lbbt_mm.models.layers import LanguageBlock
from lbbt_mm.models.layers.block_watch import BlockWatch, can_be_watched
from lbbt_mm.language import LanguageOptions
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_rectified import VIT

#: A plain and a gated network
FAMILIES = ('gpt2', 'llama')


def stack(model_type='gpt2', depth=2, **options):
    spec = LanguageOptions.from_dict(dict(config=CONFIGS[model_type])).spec.block
    return nn.Sequential(*(LanguageBlock(spec, **options) for _ in range(depth))).eval()


def seen_by(model, x, units='gate', **options):
    seen = {}
    with BlockWatch(measured_blocks(model), lambda name, *shown: seen.setdefault(name, []).append(shown), units, **options):
        model(x)
    return seen


def written_out(block, x, units):
    """The same from the block's weights alone."""
    attended = block.attn(block.norm1(x))
    if units == 'attention':
        return attended
    hidden = nn.functional.linear(block.norm2(x + attended), block.mlp.fc1.weight, block.mlp.fc1.bias)
    if not block.mlp.gated:
        return nn.functional.gelu(hidden, approximate='tanh')
    gate, up = hidden[..., :hidden.shape[-1] // 2], hidden[..., hidden.shape[-1] // 2:]
    return nn.functional.silu(gate) * (up if units == 'product' else 1)


@pytest.mark.parametrize('model_type', FAMILIES)
@pytest.mark.parametrize('units', ('gate', 'product', 'attention'))
@pytest.mark.parametrize('gradients', (False, True))
def test_what_is_shown_is_what_the_block_computes(model_type, units, gradients):
    model, x = stack(model_type), torch.randn(3, 5, 32)
    with torch.set_grad_enabled(gradients):
        seen, plain = seen_by(model, x, units), model(x)
        first = model[0](x)
    for name, block, given in (('0', model[0], x), ('1', model[1], first)):
        [(shown, tokens)] = seen[name]
        assert torch.allclose(shown, written_out(block, given, units), atol=1e-5) and tokens is None
        assert not shown.requires_grad
    assert torch.equal(model(x), plain)


@pytest.mark.parametrize('model_type', FAMILIES)
def test_the_product_is_what_the_down_projection_gets(model_type):
    model, given = stack(model_type, depth=1), []
    model[0].mlp.fc2.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    [(shown, _)] = seen_by(model, torch.randn(2, 5, 32), 'product')['0']
    assert torch.allclose(shown, given[0])


def test_units_are_those_before_dropout():
    model, x = stack(hidden_drop=0.5, depth=1).train(), torch.randn(2, 5, 32)
    [(shown, _)] = seen_by(model, x)['0']
    assert torch.allclose(shown, written_out(model[0], x, 'gate'), atol=1e-5)


def test_no_hook_is_left():
    model = stack()
    seen_by(model, torch.randn(1, 3, 32))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_recomputed_activations_are_shown_once_and_gradients_stay():
    x = torch.randn(2, 5, 32)
    names, gradients = [], []
    for with_cp in (False, True):
        torch.manual_seed(1)
        model = stack(with_cp=with_cp).train()
        with BlockWatch(measured_blocks(model), lambda name, *shown: names.append(name), once=True):
            model(x).square().sum().backward()
        gradients.append(model[0].mlp.fc1.weight.grad)
    assert names == ['0', '1'] * 2
    assert torch.allclose(*gradients, rtol=1e-4)


@pytest.mark.parametrize('rows', (1, 5))
def test_padded_tokens_are_marked(rows):
    model, x = stack(depth=1), torch.randn(2, 5, 32)
    mask = torch.ones(2, 1, rows, 5, dtype=torch.bool)
    mask[1, ..., 3:] = False
    seen = []
    with BlockWatch(measured_blocks(model), lambda name, units, tokens: seen.append(tokens)):
        model[0](x, None, mask)
        model[0](x, mask=mask)
        model[0](x)
    assert seen[0].tolist() == seen[1].tolist() == [[True] * 5, [True] * 3 + [False] * 2] and seen[2] is None


def test_units_have_a_name():
    with pytest.raises(ValueError, match="units='up'; expected one of 'gate', 'product', 'attention'"):
        BlockWatch({'0': SimpleNamespace()}, print, 'up')


def layers_of(**options):
    """The blocks of one of mmpretrain's vision transformers."""
    init_default_scope('mmpretrain')
    return MODELS.build({**VIT, **options}).layers.eval()


def plain_ffn(network, x):
    return network.layers[0][1](network.layers[0][0](x))


def swiglu(network, x, units):
    gate, up = network.w12(x).chunk(2, dim=-1)
    return nn.functional.silu(gate) * (up if units == 'product' else 1)


@torch.no_grad()
@pytest.mark.parametrize('units', ('gate', 'product', 'attention'))
@pytest.mark.parametrize('options', [
    dict(), dict(type='DistilledVisionTransformer'), dict(layer_cfgs=dict(ffn_type='swiglu_fused'))],
    ids=['vit', 'deit', 'swiglu'])
def test_blocks_of_other_vision_transformers(options, units):
    block, x, seen = layers_of(**options)[0], torch.randn(2, 5, 16), []
    assert can_be_watched(block)
    with BlockWatch(dict(one=block), lambda name, *shown: seen.append(shown), units):
        block(x)
    attended = block.attn(block.ln1(x))
    given = block.ln2(x + attended)
    hidden = swiglu(block.ffn, given, units) if 'layer_cfgs' in options else plain_ffn(block.ffn, given)
    [(shown, tokens)] = seen
    torch.testing.assert_close(shown, attended if units == 'attention' else hidden)
    assert tokens is None and not any(module._forward_hooks for module in block.modules())


def test_what_has_no_known_units_cannot_be_watched():
    assert not can_be_watched(nn.TransformerEncoderLayer(4, 1))
    block = layers_of()[0]
    block.ffn = nn.Linear(16, 16)
    assert not can_be_watched(block)
