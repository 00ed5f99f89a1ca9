"""BridgeEncoderHook: a retriever gets the backbone of a bridge, or an error."""
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.registry import HOOKS
from torch import nn

from lbbt_mm.engine.hooks import BridgeEncoderHook
from lbbt_mm.language.backbone_identity import IDENTITY_KEY, describe_backbone
from lbbt_mm.models.backbones import LLMBackbone


def mock_runner() -> MagicMock:
    """A runner whose retriever has an image encoder of one linear layer."""
    model = nn.Module()
    model.image_encoder = nn.Linear(2, 3)
    return MagicMock(model=model)


def checkpoint(**tensors) -> dict:
    backbone = {'backbone.weight': torch.ones(3, 2), 'backbone.bias': torch.zeros(3)}
    return dict(state_dict={**backbone, 'head.fc.weight': torch.ones(5, 3), **tensors}, meta={})


def test_it_is_found_by_its_scoped_name():
    assert HOOKS.get('lbbt_mm.BridgeEncoderHook') is BridgeEncoderHook


def test_the_backbone_becomes_the_image_encoder_and_the_head_stays_behind():
    runner, bridge = mock_runner(), checkpoint()
    BridgeEncoderHook().after_load_checkpoint(runner, bridge)
    assert set(bridge['state_dict']) == {'image_encoder.weight', 'image_encoder.bias'}
    runner.model.load_state_dict(bridge['state_dict'])
    assert runner.model.image_encoder.weight.eq(1).all()


def test_a_retriever_s_own_checkpoint_is_left_alone():
    own = dict(state_dict={'image_encoder.weight': torch.ones(3, 2)})
    BridgeEncoderHook().after_load_checkpoint(mock_runner(), own)
    assert set(own['state_dict']) == {'image_encoder.weight'}


def test_a_checkpoint_without_a_backbone_is_an_error():
    with pytest.raises(ValueError, match='has no backbone'):
        BridgeEncoderHook().after_load_checkpoint(mock_runner(), dict(state_dict={'neck.weight': torch.ones(1)}))


@pytest.mark.parametrize('tensors', [
    {'backbone.weight': torch.ones(3, 4)}, {'backbone.extra': torch.ones(1)}], ids=['shape', 'extra'])
def test_another_backbone_is_an_error(tensors):
    with pytest.raises(ValueError, match='not the image_encoder of this config: .*(weight has shape|no extra)'):
        BridgeEncoderHook().after_load_checkpoint(mock_runner(), checkpoint(**tensors))


def test_a_missing_tensor_is_an_error():
    bridge = checkpoint()
    del bridge['state_dict']['backbone.bias']
    with pytest.raises(ValueError, match='bias'):
        BridgeEncoderHook().after_load_checkpoint(mock_runner(), bridge)


def test_a_wrapped_model_is_looked_into():
    runner = mock_runner()
    wrapper = nn.parallel.DistributedDataParallel
    runner.model = MagicMock(spec=wrapper, module=runner.model)
    bridge = checkpoint()
    BridgeEncoderHook().after_load_checkpoint(runner, bridge)
    assert 'image_encoder.weight' in bridge['state_dict']


def test_the_encoder_says_what_the_bridge_s_blocks_started_from(folders):
    def backbone(arm):
        return LLMBackbone(dict(checkpoint=str(folders['gpt2']), blocks='0:2', arm=arm), img_size=8, patch_size=4)

    bridge = nn.ModuleDict(dict(backbone=backbone('random'))).state_dict()
    runner, loaded = mock_runner(), dict(state_dict=bridge, meta={})
    runner.model.image_encoder = backbone('language')
    BridgeEncoderHook().after_load_checkpoint(runner, loaded)
    runner.model.load_state_dict(loaded['state_dict'])
    assert runner.model.image_encoder.language.arm == 'random'


@pytest.mark.parametrize('key, there, here', (('attention', 'causal', 'bidirectional'), ('blocks', [1, 2], [0, 1])))
def test_a_backbone_of_the_same_shape_that_is_another_function_is_an_error(folders, key, there, here):
    def backbone(blocks='0:2', attention='bidirectional'):
        return LLMBackbone(dict(checkpoint=str(folders['gpt2']), blocks=blocks, arm='random'), img_size=8, patch_size=4,
                           attention=attention)

    runner = mock_runner()
    runner.model.image_encoder = backbone()
    bridged = backbone(**{key: '1:3' if key == 'blocks' else there})
    state = {f'backbone.{name}': tensor for name, tensor in bridged.state_dict().items()}
    bridge = dict(state_dict=state, meta={IDENTITY_KEY: describe_backbone(bridged)})
    with pytest.raises(ValueError, match='another than this config') as caught:
        BridgeEncoderHook().after_load_checkpoint(runner, bridge)
    assert f'{key} {here!r} in the config, {there!r} in the checkpoint' in str(caught.value)
    bridge['meta'] = {IDENTITY_KEY: describe_backbone(runner.model.image_encoder)}
    BridgeEncoderHook().after_load_checkpoint(runner, bridge)
    assert len(bridge['state_dict']) == len(state)
