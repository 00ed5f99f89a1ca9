"""One vector for an image: tokens or maps of backbones, by hand."""
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from lbbt_mm.models.multimodal.image_features import ImagePooling
from tests.tiny_checkpoints import config_of
from tests.tiny_vision import CNN, VIT, build_vision

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def tokens_of(**options):
    """All tokens of a model, behind its final norm."""
    return build_vision(dict(VIT, out_type='raw', **options)).backbone(IMAGES)[-1]


@torch.no_grad()
@pytest.mark.parametrize('pooling, pool', [
    ('auto', lambda tokens: tokens[:, 0]), ('class', lambda tokens: tokens[:, 0]),
    ('mean', lambda tokens: tokens[:, 1:].mean(1)),
    ('both', lambda tokens: torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1))])
@pytest.mark.parametrize('out_type', ['cls_token', 'raw', 'featmap'])
def test_tokens_of_a_vision_transformer(pooling, pool, out_type):
    pooled = ImagePooling(build_vision(dict(VIT, out_type=out_type)).backbone, pooling)
    torch.testing.assert_close(pooled(IMAGES), pool(tokens_of()))
    assert pooled.pooling == ('class' if pooling == 'auto' else pooling)


@torch.no_grad()
def test_a_mean_that_the_backbone_was_trained_with_is_its_own():
    """Its norm comes behind the mean."""
    options = dict(out_type='avg_featmap', final_norm=False)
    own = build_vision(dict(VIT, **options)).backbone(IMAGES)[-1]
    for pooling in ('auto', 'mean'):
        pooled = ImagePooling(build_vision(dict(VIT, **options)).backbone, pooling)
        assert pooled.pooling == 'mean' and torch.equal(pooled(IMAGES), own)
    both = ImagePooling(build_vision(dict(VIT, **options)).backbone, 'both')(IMAGES)
    torch.testing.assert_close(both[:, :16], tokens_of(final_norm=False)[:, 0])


@torch.no_grad()
def test_a_map_of_features_is_averaged():
    backbone = build_vision(CNN).backbone
    pooled = ImagePooling(backbone)
    assert pooled.pooling == 'mean'
    torch.testing.assert_close(pooled(IMAGES), backbone(IMAGES)[-1].mean(dim=(2, 3)))


@torch.no_grad()
def test_our_backbone():
    init_default_scope('mmpretrain')
    options = dict(type='lbbt_mm.LLMBackbone', img_size=16, patch_size=8,
                   language=dict(config=config_of('gpt2'), arm='random'))
    for out_type, pooling, index in (('cls_token', 'class', slice(0, 1)), ('cls_token', 'mean', slice(1, None))):
        backbone = MODELS.build(dict(options, out_type=out_type)).eval()
        found = ImagePooling(backbone, pooling)(IMAGES)
        torch.testing.assert_close(found, backbone(IMAGES)[-1][:, index].mean(1))
    own = MODELS.build(dict(options, out_type='avg_featmap')).eval()
    assert torch.equal(ImagePooling(own)(IMAGES), own(IMAGES)[-1])


@pytest.mark.parametrize('backbone, pooling, says', [
    (CNN, 'class', 'ResNet has no class token. Take the mean'), (CNN, 'both', 'has no class token'),
    (dict(VIT, with_cls_token=False, out_type='raw'), 'class', 'VisionTransformer has no class token'),
    (VIT, 'max', "ImagePooling: pooling='max'; expected one of 'auto', 'class', 'mean', 'both'")])
def test_what_a_backbone_does_not_have(backbone, pooling, says):
    with pytest.raises(ValueError, match=says):
        ImagePooling(build_vision(backbone).backbone, pooling)
