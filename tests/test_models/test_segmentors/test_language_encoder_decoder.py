"""LanguageEncoderDecoder: head widths that follow from an encoder of language-model blocks."""
from copy import deepcopy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models.segmentors import EncoderDecoder

from lbbt_mm.language import open_checkpoint
from lbbt_mm.models.segmentors import LanguageEncoderDecoder
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close
from tests.tiny_checkpoints import CONFIGS, copied_block
from tests.tiny_segmentation import batch_of

WIDTH = 32


def segmentor(model_type='gpt2', **options) -> LanguageEncoderDecoder:
    init_default_scope('mmseg')
    head = dict(in_channels=None, channels=16, num_classes=4, num_convs=1, norm_cfg=dict(type='BN'), concat_input=False)
    config = dict(
        type='lbbt_mm.LanguageEncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32), test_cfg=dict(size_divisor=8)),
        backbone=dict(type='lbbt_mm.LLMBackbone', img_size=32, patch_size=8, out_type='featmap', out_indices=(1, 3),
                      language=dict(config=deepcopy(CONFIGS[model_type]), arm='random')),
        decode_head=dict(type='FCNHead', in_index=1, **head),
        auxiliary_head=[dict(type='FCNHead', in_index=0, **head)],
        test_cfg=dict(mode='whole'))
    config.update(options)
    return MODELS.build(ConfigDict(config))


@pytest.mark.parametrize('model_type', ('gpt2', 'qwen3'))
def test_widths_follow_from_the_language_model(model_type):
    model = segmentor(model_type)
    assert isinstance(model, EncoderDecoder)
    assert model.decode_head.in_channels == model.auxiliary_head[0].in_channels == WIDTH


def test_it_trains_and_predicts_images_that_are_no_whole_patches():
    model = segmentor()
    losses = model.train()(**model.data_preprocessor(batch_of(), training=True), mode='loss')
    assert {'decode.loss_ce', 'aux_0.loss_ce'} <= set(losses)
    data = batch_of(1, size=30)
    with torch.no_grad():
        prediction = model.eval().test_step(data)[0]
    assert prediction.pred_sem_seg.data.shape == (1, 30, 30)


def test_a_single_auxiliary_head_may_be_none_wide_too():
    auxiliary = dict(type='FCNHead', in_index=0, in_channels=None, channels=16, num_classes=4, num_convs=1)
    assert segmentor(auxiliary_head=auxiliary).auxiliary_head.in_channels == WIDTH


def test_a_list_of_widths_may_be_none_wide():
    head = dict(type='UPerHead', in_index=(0, 1), in_channels=[None, None], channels=16, num_classes=4, pool_scales=(1, 2))
    assert segmentor(decode_head=head).decode_head.in_channels == [WIDTH, WIDTH]


def test_widths_of_other_encoders_are_as_they_are_written():
    backbone = dict(type='MixVisionTransformer', embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 1, 1])
    head = dict(type='FCNHead', in_index=3, in_channels=8, channels=16, num_classes=4)
    assert segmentor(backbone=backbone, decode_head=head, auxiliary_head=None).decode_head.in_channels == 8


def test_a_width_that_contradicts_is_one_error():
    head = dict(type='FCNHead', in_index=1, in_channels=48, channels=16, num_classes=4)
    with pytest.raises(ValueError, match='decode_head.in_channels=48 contradicts the backbone, which is 32 wide'):
        segmentor(decode_head=head)


def test_the_language_weights_survive_the_initialisation_of_the_whole_segmentor(folders):
    model = segmentor(backbone=dict(
        type='lbbt_mm.LLMBackbone', img_size=32, patch_size=8, out_type='featmap', out_indices=(1, 3),
        language=dict(checkpoint=str(folders['gpt2']))))
    model.init_weights()
    checkpoint = open_checkpoint(folders['gpt2'])
    for index, block in enumerate(model.backbone.blocks):
        for (name, ours), theirs in zip(block.named_parameters(), copied_block(checkpoint, index).parameters()):
            assert torch.equal(ours, theirs), name
    model.train()(**model.data_preprocessor(batch_of(), training=True), mode='loss')  # the guard agrees


def test_sliding_windows():
    model = segmentor(test_cfg=dict(mode='slide', crop_size=(32, 32), stride=(24, 24)), auxiliary_head=None).eval()
    data = batch_of(1, size=52)
    with torch.no_grad():
        logits = model.test_step(data)[0].seg_logits.data
    assert logits.shape == (4, 52, 52)
    assert (logits[:, 2:4, 2:4] - logits[:, -4:-2, -4:-2]).abs().max() > 0
    whole = segmentor(auxiliary_head=None).eval()
    whole.load_state_dict(model.state_dict())
    data = batch_of(1, size=32)  # one window is the whole image
    with torch.no_grad():
        found, expected = (segmentor_.test_step(data)[0].seg_logits.data for segmentor_ in (model, whole))
        assert_close(found, expected, depth=4)


def test_a_backbone_without_feature_maps_is_one_error():
    backbone = dict(type='lbbt_mm.LLMBackbone', img_size=32, patch_size=8,
                    language=dict(config=deepcopy(CONFIGS['gpt2']), arm='random'))
    with pytest.raises(ValueError, match="backbone.out_type='avg_featmap'; segmentation heads need feature maps"):
        segmentor(backbone=backbone, auxiliary_head=None)


def test_behind_a_neck_widths_have_to_be_written():
    neck = dict(type='FPN', in_channels=[WIDTH, WIDTH], out_channels=16, num_outs=2)
    with pytest.raises(ValueError, match='decode_head.in_channels=None cannot be inferred'):
        segmentor(neck=neck)
