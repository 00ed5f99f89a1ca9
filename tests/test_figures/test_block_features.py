"""What each block gives for an image: the blocks run one by one."""
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample
from torch import nn

from lbbt_mm.figures.block_features import read_block_features
from lbbt_mm.figures.preprocessing import preprocess


def read(run, model, tokens='auto', batch_size=4):
    return read_block_features(model, run.images('test', 6, batch_size), tokens, 'run')


def inputs_of(run, model):
    return preprocess(model, *next(run.images('test', 6, 6)))['inputs']


@torch.no_grad()
@pytest.mark.parametrize('out_type, tokens, pooled', [
    ('avg_featmap', 'auto', lambda x: x.mean(1)), ('avg_featmap', 'mean', lambda x: x.mean(1)),
    ('cls_token', 'auto', lambda x: x[:, 0]), ('cls_token', 'class', lambda x: x[:, 0]),
    ('cls_token', 'mean', lambda x: x[:, 1:].mean(1))])
def test_our_backbone(opened, out_type, tokens, pooled):
    run = opened(out_type=out_type)
    model = run.at_end()
    found = read(run, model, tokens)
    assert found.shape == (4, 6, 32) and not any(block._forward_hooks for block in model.backbone.blocks)
    states, _ = model.backbone.embed(inputs_of(run, model))
    for features, block in zip(found, model.backbone.blocks):
        states = block(states)
        torch.testing.assert_close(features, pooled(states), rtol=1e-4, atol=1e-5)


def vision_transformer(run, **options):
    """mmpretrain's own, behind the preprocessor of a run's model."""
    init_default_scope('mmpretrain')
    model = run.at_end()
    model.backbone = MODELS.build({**dict(type='VisionTransformer', arch='deit-tiny', img_size=8, patch_size=4), **options})
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize('options, extra', [
    (dict(), 1), (dict(with_cls_token=False, out_type='avg_featmap'), 0), (dict(type='DistilledVisionTransformer'), 2)])
def test_mmpretrain_s_backbones(opened, options, extra):
    run = opened()
    model = vision_transformer(run, **options)
    states, backbone = [], model.backbone
    for layer in backbone.layers:
        layer.register_forward_hook(lambda module, args, output: states.append(output))
    backbone(inputs_of(run, model))
    assert states[0].shape[1] == 4 + extra
    expected = torch.stack(states)
    torch.testing.assert_close(read(run, model, 'mean'), expected[:, :, extra:].mean(2), rtol=1e-4, atol=1e-5)
    auto = expected[:, :, 0] if extra else expected.mean(2)
    torch.testing.assert_close(read(run, model), auto, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_is_inserted_behind_a_block_does_not_count_for_it(opened):
    run = opened()
    model = vision_transformer(run)
    plain = read(run, model)
    model.backbone.layers[3].register_forward_hook(lambda module, args, output: output * 2)
    found = read(run, model)
    assert torch.equal(found[:4], plain[:4]) and not torch.allclose(found[4], plain[4], atol=0.1)


@torch.no_grad()
@pytest.mark.parametrize('processor', ['mmpretrain.ClsDataPreprocessor', 'mmseg.SegDataPreProcessor'])
def test_images_of_different_sizes_are_not_padded_and_keep_their_order(opened, processor):
    run = opened()
    model = run.at_end()
    model.backbone = nn.Module()
    model.backbone.embed_dims, model.backbone.layers = 3, nn.ModuleList([nn.Identity()])
    model.backbone.forward = lambda x: model.backbone.layers[0](x.flatten(2).transpose(1, 2))  # a pixel is a token
    model.data_preprocessor = MODELS.build(dict(type=processor, mean=[1.] * 3, std=[2.] * 3))
    images = [torch.full((3, *size), value) for value, size in ((5., (4, 6)), (7., (6, 4)), (9., (4, 6)), (11., (2, 2)))]
    samples = [DataSample() for _ in images]
    found = read_block_features(model, [(images, samples), (images[:1], samples[:1])], 'mean', 'run')
    assert found[0, :, 0].tolist() == [2., 3., 4., 5., 2.]


def test_blocks_that_do_not_run_are_left_out(opened):
    run = opened(out_indices=1)
    assert read(run, run.at_end()).shape == (2, 6, 32)


@pytest.mark.parametrize('backbone, tokens, message', [
    (None, 'class', 'run: its LLMBackbone has no class token. Take the mean of the patches'),
    (dict(type='ResNet', depth=18), 'auto', 'run: ResNet is not a backbone of tokens')])
def test_models_without_such_features(opened, backbone, tokens, message):
    run = opened()
    model = run.at_end()
    if backbone:
        init_default_scope('mmpretrain')
        model.backbone = MODELS.build(backbone)
    with pytest.raises(ValueError, match=message):
        read(run, model, tokens)
