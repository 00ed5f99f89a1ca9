"""Where the blocks of a model are: for hooks and figures, at a path, and in a backbone of tokens."""
import pytest
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from lbbt_mm.models.blocks import blocks_at, measured_blocks, token_blocks
from tests.tiny_rectified import HEAD, VIT, WIDTH, build

OWN = [f'backbone.layers.{number}' for number in range(3)]


def classifier(backbone):
    init_default_scope('mmpretrain')
    return MODELS.build(dict(type='ImageClassifier', backbone=backbone, head=dict(HEAD, in_channels=WIDTH)))


@pytest.mark.parametrize('path', ('auxiliary', 'inserted'))
def test_of_a_rectified_model_the_vit_s_whatever_the_path_and_the_arm(folders, path):
    assert [*measured_blocks(build(folders['gpt2'], path=path))] == OWN
    assert [*measured_blocks(build(folders['gpt2'], 'none', path=path))] == OWN


def test_a_pattern_chooses_among_all(folders):
    model = build(folders['gpt2'])
    assert [*measured_blocks(model, '*')] == [*OWN, 'rectifier.blocks.0']
    assert [*measured_blocks(model, 'rectifier.*')] == ['rectifier.blocks.0']
    with pytest.raises(ValueError, match='RectifiedClassifier has backbone.layers.0 to rectifier.blocks.0; expected blocks '
                       'that are called neck. Give another pattern'):
        measured_blocks(model, 'neck')


def test_of_a_plain_vit_its_own(folders):
    assert [*measured_blocks(classifier(VIT))] == OWN


def test_of_a_model_of_language_blocks_these(folders):
    language = dict(checkpoint=str(folders['gpt2']))
    model = classifier(dict(type='lbbt_mm.LLMBackbone', img_size=8, patch_size=4, language=language))
    assert [*measured_blocks(model)] == [f'backbone.blocks.{number}' for number in range(4)]


@pytest.mark.parametrize('model', [nn.Linear(2, 2), None], ids=['no_backbone', 'resnet'])
def test_a_model_without_blocks_is_refused(model):
    model = model or classifier(dict(type='ResNet', depth=18))
    with pytest.raises(ValueError, match='has no LanguageBlock, and no backbone of such blocks as'):
        measured_blocks(model)


@pytest.mark.parametrize('config', [
    VIT, dict(VIT, type='DistilledVisionTransformer'), dict(VIT, out_type='avg_featmap', final_norm=False),
    dict(VIT, layer_scale_init_value=1e-5, with_cls_token=True),
    dict(type='BEiTViT', arch=VIT['arch'], img_size=16, patch_size=4)], ids=['vit', 'deit', 'mae', 'dinov2', 'beit'])
def test_vits_of_several_styles_have_blocks(config):
    init_default_scope('mmpretrain')
    assert len(token_blocks(MODELS.build(config))) == 3


@pytest.mark.parametrize('config', [dict(type='ResNet', depth=18), dict(type='SwinTransformer', arch='tiny')],
                         ids=['resnet', 'swin'])
def test_a_backbone_without_tokens_of_one_width_is_refused(config):
    init_default_scope('mmpretrain')
    with pytest.raises(ValueError, match='is not a backbone of tokens with one width; expected one with embed_dims and a '
                       'list of blocks called layers or blocks'):
        token_blocks(MODELS.build(config))


def test_a_list_of_blocks_is_found_by_its_path_and_by_what_it_is_in():
    model = classifier(VIT)
    path, found = blocks_at(model, 'backbone')
    assert path == 'backbone.layers' and found is model.backbone.layers and blocks_at(model, path) == (path, found)
    with pytest.raises(ValueError, match="module='backbone.blocks': backbone .* has no part 'blocks'; it has .*layers"):
        blocks_at(model, 'backbone.blocks')
    with pytest.raises(ValueError, match="module='head' is a .* with the parts .*; expected a ModuleList or Sequential"):
        blocks_at(model, 'head')
