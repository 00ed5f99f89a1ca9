"""Where a rectifier stands in a ViT."""
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import nn

from lbbt_mm.models.rectifiers.insertion import block_index, find_blocks, insert
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


@pytest.mark.parametrize('config', [
    VIT, dict(VIT, type='DistilledVisionTransformer'), dict(VIT, out_type='avg_featmap', final_norm=False),
    dict(VIT, layer_scale_init_value=1e-5, with_cls_token=True),
    dict(type='BEiTViT', arch=VIT['arch'], img_size=16, patch_size=4)], ids=['vit', 'deit', 'mae', 'dinov2', 'beit'])
def test_vits_of_several_styles_have_blocks(config):
    init_default_scope('mmpretrain')
    assert len(find_blocks(MODELS.build(config))) == 3


@pytest.mark.parametrize('config', [dict(type='ResNet', depth=18), dict(type='SwinTransformer', arch='tiny')],
                         ids=['resnet', 'swin'])
def test_a_backbone_without_tokens_of_one_width_is_refused(config):
    init_default_scope('mmpretrain')
    with pytest.raises(ValueError, match='is not a backbone of tokens with one width; expected one with embed_dims and a '
                       'list of blocks called layers or blocks'):
        find_blocks(MODELS.build(config))


@pytest.mark.parametrize('index', (-1, 0, 2))
def test_the_function_stands_behind_its_block(index):
    blocks = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))
    insert(blocks, index, lambda tokens: tokens + 1)
    x = expected = torch.ones(1, 3, 2)
    for number, block in enumerate(blocks):
        x = block(x)
        expected = nn.functional.linear(expected + (index < 0 == number), block.weight)
        expected = expected + (number == index)
    assert torch.equal(x, expected)


def test_what_is_no_sequence_of_tokens_is_refused():
    blocks = nn.ModuleList([nn.Conv2d(1, 1, 1)])
    insert(blocks, 0, lambda tokens: tokens)
    with pytest.raises(ValueError, match=r'Conv2d gives a tensor of shape \(2, 1, 4, 4\); expected tokens \(B, N, C\)'):
        blocks[0](torch.ones(2, 1, 4, 4))
