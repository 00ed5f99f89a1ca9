"""Where a rectifier stands in a ViT."""
import warnings

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import nn

from lbbt_mm.models.blocks import UnfitBackbone, token_blocks
from lbbt_mm.models.rectifiers.insertion import block_index, check_place, insert
from tests.tiny_rectified import VIT


@pytest.mark.parametrize(('place', 'index'), [
    ('embedding', -1), ('first', 0), ('middle', 5), ('last', 11), (3, 3), (-1, 11), (-12, 0)])
def test_places_of_twelve_blocks(place, index):
    assert block_index(place, 12) == index


@pytest.mark.parametrize('place', [12, -13, 'end', 1.5, True, None])
def test_a_place_that_is_none_is_refused(place):
    with pytest.raises(ValueError, match=r"insert_after=.*expected 'embedding', 'first', 'middle', 'last', or the index of "
                       'one of 12 blocks, -12 to 11'):
        block_index(place, 12)


@pytest.mark.parametrize('index', (-1, 0, 2))
def test_the_function_stands_behind_its_block(index):
    blocks = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))
    insert(blocks, index, lambda tokens: tokens + 1, width=2)
    x = expected = torch.ones(1, 3, 2)
    for number, block in enumerate(blocks):
        x = block(x)
        expected = nn.functional.linear(expected + (index < 0 == number), block.weight)
        expected = expected + (number == index)
    assert torch.equal(x, expected)


def test_what_is_no_sequence_of_tokens_is_refused():
    blocks = nn.ModuleList([nn.Conv2d(1, 1, 1)])
    insert(blocks, 0, lambda tokens: tokens, width=4)
    with pytest.raises(UnfitBackbone, match=r'Conv2d gives a tensor of shape \(2, 1, 4, 4\); expected tokens \(B, N, 4\)'):
        blocks[0](torch.ones(2, 1, 4, 4))


def test_tokens_of_another_width_are_refused():
    blocks = nn.ModuleList([nn.Linear(4, 6)])
    insert(blocks, 0, lambda tokens: tokens, width=4)
    with pytest.raises(UnfitBackbone, match=r'Linear gives a tensor of shape \(2, 3, 6\); expected tokens \(B, N, 4\)'):
        blocks[0](torch.ones(2, 3, 4))


def test_a_trace_warns_of_no_width():
    blocks = nn.ModuleList([nn.Linear(4, 4)])
    insert(blocks, 0, lambda tokens: 2 * tokens, width=4)
    with warnings.catch_warnings():
        warnings.simplefilter('error', torch.jit.TracerWarning)
        traced = torch.jit.trace(blocks[0], torch.ones(2, 3, 4))
    assert torch.equal(traced(torch.ones(5, 2, 4)), blocks[0](torch.ones(5, 2, 4)))


UNFIT = {
    'mixmim': (dict(type='MixMIMTransformer', arch=dict(
        embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]), img_size=64, window_size=[2, 2, 2, 2]),
        r'MixMIMLayer gives a tensor of shape \(2, 4, 128\); expected tokens \(B, N, 16\)'),
    'mvit': (dict(type='MViT', arch=dict(embed_dims=16, num_layers=2, num_heads=1, downscale_indices=[1])),
             'MultiScaleBlock gives a tuple; expected tokens'),
    'tnt': (dict(type='TNT', arch=dict(embed_dims_outer=16, embed_dims_inner=8, num_layers=2, num_heads_outer=2,
                                       num_heads_inner=2), img_size=32), 'gives a tuple; expected tokens'),
    'revvit': (dict(type='RevVisionTransformer', arch=VIT['arch'], img_size=16, patch_size=4),
               'gives a tuple; expected tokens'),
    'sam': (dict(type='ViTSAM', arch=dict(VIT['arch'], global_attn_indexes=[0]), img_size=16, patch_size=4, out_channels=8),
            r'gives a tensor of shape \(2, 4, 4, 16\); expected tokens \(B, N, 16\)'),
}


@pytest.mark.parametrize('name', UNFIT)
def test_a_pass_of_shapes_finds_what_is_no_token(name):
    config, message = UNFIT[name]
    init_default_scope('mmpretrain')
    backbone = MODELS.build(config)
    with pytest.raises(UnfitBackbone, match=message):
        check_place(backbone, len(token_blocks(backbone)) - 1)


@pytest.mark.parametrize('index', (-1, 0, 2))
@pytest.mark.parametrize('device', ('cpu', 'meta'))
def test_a_pass_of_shapes_leaves_all_as_it_was(device, index):
    """Weights, statistics, mode and random numbers; also where a part does not run without numbers."""
    init_default_scope('mmpretrain')
    with torch.device(device):
        backbone = MODELS.build(dict(VIT, drop_rate=0.5))
        backbone.norm = nn.BatchNorm2d(3)
    calls = []
    backbone.patch_embed.register_forward_pre_hook(lambda module, inputs: calls.append(inputs[0].device.type))
    backbone.register_forward_pre_hook(lambda module, inputs: (module.norm(inputs[0]), ))
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    drawn = torch.get_rng_state()
    check_place(backbone, index)
    assert calls == ['meta'] and torch.equal(torch.get_rng_state(), drawn)
    assert all(module.training for module in backbone.modules()) and not any(
        block._forward_hooks or block._forward_pre_hooks for block in backbone.layers)
    for name, tensor in backbone.state_dict().items():
        assert tensor.device.type == device and (device == 'meta' or torch.equal(tensor, state[name])), name


def test_a_backbone_that_does_not_run_without_numbers_is_not_refused():
    init_default_scope('mmpretrain')
    backbone = MODELS.build(VIT)
    backbone.register_forward_pre_hook(lambda module, inputs: inputs[0].sum().item() and None)
    check_place(backbone, 0)
