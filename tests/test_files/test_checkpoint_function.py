"""What a checkpoint's own config says of its weights that their shapes do not."""
from copy import deepcopy
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope

from lbbt_mm.files.checkpoint_function import changed_function
from lbbt_mm.launch.testing import enable_tta
from tests import tiny_segmentation
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_detection import run_config
from tests.tiny_rectified import DEPTH, model_config

BACKBONE = dict(type='lbbt_mm.LLMBackbone', img_size=16, patch_size=4, attention='bidirectional',
                language=dict(config=CONFIGS['gpt2'], arm='random'))


def classifier() -> Config:
    return Config(dict(
        default_scope='mmpretrain',
        model=dict(type='lbbt_mm.LanguageClassifier', backbone=deepcopy(BACKBONE),
                   head=dict(type='LinearClsHead', num_classes=3, in_channels=None, loss=dict(type='CrossEntropyLoss'))),
        data_preprocessor=dict(num_classes=3, mean=[1., 2., 3.], std=[4., 5., 6.], to_rgb=True)))


def changed(cfg, changes=None, there=None, leave_out=(), version='1.0', tta=False):
    """Keys that differ after some changes of a config, from what the unchanged one wrote into a checkpoint."""
    asked, recorded = deepcopy(cfg), deepcopy(cfg)
    asked.merge_from_dict(changes or {})
    recorded.merge_from_dict(there or {})
    init_default_scope(cfg.default_scope)
    model = MODELS.build(deepcopy(asked.model))
    if tta:
        enable_tta(asked)
    meta = dict(cfg=recorded.pretty_text, **(dict(mmengine_version=version) if version else {}))
    return [*changed_function(dict(state_dict={}, meta=meta), asked, model, leave_out)]


@pytest.mark.parametrize('key, value', [
    ('model.backbone.attention', 'causal'), ('model.backbone.out_type', 'last_token'), ('data_preprocessor.mean', [0.] * 3),
    ('data_preprocessor.to_rgb', False), ('model.backbone.final_norm', None),
    ('model.neck', dict(type='GlobalAveragePooling'))])
def test_another_function_of_the_same_weights(key, value):
    assert changed(classifier(), {key: value}) == [key]
    assert changed(classifier(), there={'model.head.type': 'StackedLinearClsHead'}) == ['model.head']


@pytest.mark.parametrize('fact, value', [('layer_norm_epsilon', 0.1), ('n_head', 2), ('activation_function', 'relu')])
def test_other_facts_of_the_language_model(fact, value):
    config = {**CONFIGS['gpt2'], fact: value}
    assert changed(classifier(), {'model.backbone.language.config': config}) == ['model.backbone.language.config']
    assert changed(run_config(), {'model.language.config': config}) == ['model.language.config']


@pytest.mark.parametrize('key, value', [
    ('model.bbox_head.num_reg_fcs', 3), ('model.positional_encoding.normalize', False),
    ('model.data_preprocessor.std', [1.] * 3)])
def test_a_detector(key, value):
    assert changed(run_config(), {key: value}) == [key.replace('model.data', 'data')]
    assert changed(run_config(), {key: value}, tta=True) == [key.replace('model.data', 'data')]


@pytest.mark.parametrize('key, value', [
    ('model.backbone.num_heads', 1), ('model.decode_head.language.config.layer_norm_epsilon', 0.1),
    ('model.data_preprocessor.bgr_to_rgb', False), ('model.backbone.qkv_bias', False)])
def test_a_segmentor(key, value):
    expected = key.replace('model.data', 'data').replace('.layer_norm_epsilon', '')
    assert changed(tiny_segmentation.run_config(), {key: value}) == [expected]
    changes = {'model.test_cfg': dict(mode='whole'), 'model.data_preprocessor.size': (8, 8),
               'model.decode_head.drop_path_rate': 0.3}
    assert changed(tiny_segmentation.run_config(), changes, tta=True) == []


@pytest.mark.parametrize('changes', [
    {}, {'model.backbone.language.arm': 'host', 'model.backbone.language.checkpoint': 'elsewhere'},
    {'model.backbone.language.config.initializer_range': 0.3, 'model.backbone.language.blocks': '0:4'},
    {'model.backbone.with_cp': True, 'model.backbone.drop_path_rate': 0.1, 'model.backbone.frozen_stages': 1},
    {'model.backbone.attention_kernel': 'math', 'model.backbone.patch_size': (4, 4), 'model.backbone.out_indices': [-1]},
    {'model.backbone.init_cfg': dict(type='Pretrained', checkpoint='x.pth'), 'model.train_cfg': dict(augments=[])},
    {'model.head.type': 'mmpretrain.LinearClsHead', 'model.head.in_channels': 32},
    {'model.head.cal_acc': True, 'model.head.topk': (1, 5), 'model.head.loss': dict(loss_weight=2.)},
    {'model.backbone.position': 'learned', 'model.head.init_cfg': None, 'model.neck': None},
    {'data_preprocessor.num_classes': 9, 'data_preprocessor.to_onehot': True, 'test_cfg': dict(fp16=True)}])
def test_what_changes_nothing_that_is_computed(changes):
    assert changed(classifier(), changes) == [] == changed(classifier(), there=changes)


def test_how_images_of_a_detector_are_batched():
    changes = {'model.data_preprocessor.pad_size_divisor': 32, 'model.test_cfg.max_per_img': 3}
    assert changed(run_config(), changes, tta=True) == []


def rectified(place) -> Config:
    return Config(dict(default_scope='mmpretrain', model=dict(
        model_config(None, insert_after=place),
        rectifier=dict(type='lbbt_mm.LanguageRectifier', language=dict(config=CONFIGS['gpt2'], arm='random', blocks=-1)))))


@pytest.mark.parametrize('asked, there', [
    ('last', DEPTH - 1), (-1, 'last'), ('first', 0), (-DEPTH, 'first'), ('middle', 1), (1, -2)])
def test_names_of_one_place_of_a_rectifier_are_one(asked, there):
    assert changed(rectified(asked), there={'model.insert_after': there}) == []


@pytest.mark.parametrize('asked, there', [('last', 'first'), (0, -1), ('embedding', 0), ('last', 7), ('first', 'odd')])
def test_another_place_of_a_rectifier_is_another_function(asked, there):
    assert changed(rectified(asked), there={'model.insert_after': there}) == ['model.insert_after']


@pytest.mark.parametrize('asked, keys', [(DEPTH - 1, []), ('first', ['model.insert_after'])])
def test_a_place_that_is_left_out_is_the_last(asked, keys):
    recorded = {key: value for key, value in rectified('last').model.items() if key != 'insert_after'}
    assert changed(rectified(asked), there={'model': dict(recorded, _delete_=True)}) == keys


def test_a_key_that_is_left_out_is_the_default():
    assert changed(classifier(), {'data_preprocessor': dict(_delete_=True)})
    assert changed(classifier(), there={'model.backbone.attention': 'causal'}) == ['model.backbone.attention']
    recorded = {'model.backbone': {**BACKBONE, '_delete_': True, 'attention': 'causal'}}
    assert changed(classifier(), there=recorded) == ['model.backbone.attention']
    del recorded['model.backbone']['attention']
    assert changed(classifier(), there=recorded) == []


def sharelock() -> Config:
    return Config(dict(default_scope='mmpretrain', model=dict(
        type='lbbt_mm.ShareLock', text_projection=dict(type='lbbt_mm.MLPProjection', in_channels=4, out_channels=3),
        vision=dict(backbone=dict(type='VisionTransformer', arch='deit-tiny', patch_size=16), checkpoint='vit.pth',
                    pooling='auto'),
        text=dict(location='here', layer=-1, pooling='last'))))


@pytest.mark.parametrize('changes', [
    {'model.text.location': 'there', 'model.text.device': 'cuda', 'model.vision.checkpoint': 'elsewhere.pth'},
    {'model.batch': 'accumulate', 'model.accumulate_size': 2}, {'model.text': None}, {'model.vision': None},
    {'model.zero_shot': dict(classes=['cat', 'dog'])}])
def test_how_projections_trained_and_where_the_frozen_models_are_changes_nothing(changes):
    assert changed(sharelock(), changes) == [] == changed(sharelock(), there=changes)


@pytest.mark.parametrize('key, value', [
    ('model.text.layer', 3), ('model.text.pooling', 'mean'), ('model.vision.pooling', 'class'),
    ('model.vision.backbone.patch_size', 32), ('model.text_projection.norm', False)])
def test_what_projections_are_of(key, value):
    assert changed(sharelock(), {key: value}) == [key]


@pytest.mark.parametrize('trained, keys', [
    ({}, []), (dict(model='renamed'), []), (dict(dtype='bfloat16'), []), (dict(revision='xyz'), ['model.text']),
    (dict(pooling='mean'), ['model.text']), (dict(layer=0), ['model.text']), (None, []), ('odd', [])])
def test_a_frozen_language_model_is_that_of_the_features(monkeypatch, trained, keys):
    """By what the stores said of themselves in training, which checkpoints keep."""
    identity = dict(model='tiny', revision='abc', layer=-1, pooling='last', dtype='float32')
    cfg = sharelock()
    cfg.model.zero_shot = dict(classes=['cat'])
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    monkeypatch.setattr(model.zero_shot.classes, 'text_identity', lambda: identity)
    stored = {**identity, **trained} if isinstance(trained, dict) else trained
    checkpoint = dict(state_dict={}, meta=dict(dataset_meta=dict(text_features=stored)))
    assert [*changed_function(checkpoint, cfg, model)] == keys


@pytest.mark.parametrize('stored, keys', [
    (dict(revision='abc.def', pooling='mean'), []), (dict(revision='abcd.ef', pooling='mean'), ['model.vision']),
    (dict(revision='abc.def', pooling='class'), ['model.vision']), ('odd', [])])
def test_a_frozen_vision_model_is_that_of_the_features(monkeypatch, stored, keys):
    """Its weights and pooling; what is done to images, the second half of a store's revision, is in the config."""
    cfg = sharelock()
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    monkeypatch.setattr(model.zero_shot, '_vision', SimpleNamespace(identity=dict(revision='abc', pooling='mean')))
    checkpoint = dict(state_dict={}, meta=dict(dataset_meta=dict(image_features=stored)))
    assert [*changed_function(checkpoint, cfg, model)] == keys


@pytest.fixture
def stranger(monkeypatch):
    """The config of a model that has nothing to do with a ShareLock but names of settings."""
    class Stranger(BaseModel):
        def __init__(self, text=None, **settings):
            super().__init__()

        def forward(self, inputs):
            return inputs

    monkeypatch.setitem(MODELS.module_dict, 'Stranger', Stranger)
    settings = dict(batch=1, accumulate_size=2, zero_shot=False, location='a', checkpoint='a.pth', device='cpu')
    return Config(dict(default_scope='mmpretrain', model=dict(type='Stranger', text=settings, vision=None, **settings)))


@pytest.mark.parametrize('key, value', [
    ('batch', 2), ('accumulate_size', 3), ('zero_shot', True), ('location', 'b'), ('checkpoint', 'b.pth'),
    ('device', 'cuda'), ('vision', 'a'), ('text.location', 'b'), ('text.device', 'cuda')])
def test_such_settings_of_another_model_have_an_effect(stranger, key, value):
    assert changed(stranger, {f'model.{key}': value}) == [f'model.{key}']


def test_parts_that_are_left_out_and_other_models_around_a_part():
    assert changed(classifier(), {'data_preprocessor.mean': [0.] * 3, 'model.backbone.attention': 'causal'},
                   leave_out=['backbone', 'head.fc']) == ['data_preprocessor.mean']
    head = {'model.head.type': 'LinearHead'}
    assert changed(classifier(), there=head) == ['model.head']
    assert changed(classifier(), there=head, leave_out=['head.fc']) == []
    other = {'model.type': 'ImageToImageRetriever', 'model.backbone.attention': 'causal'}
    assert changed(classifier(), there=other) == ['model.backbone.attention']


def test_checkpoints_that_say_nothing_or_were_written_before_mmengine():
    cfg = classifier()
    init_default_scope('mmpretrain')
    model = MODELS.build(deepcopy(cfg.model))
    for meta in (None, {}, [1], dict(mmengine_version='1'), dict(mmengine_version='1', cfg='model = 3'),
                 dict(mmengine_version='1', cfg='not a config ('), dict(lbbt_mm_backbone=3)):
        assert changed_function(dict(state_dict={}, meta=meta), cfg, model) == {}
    assert changed(cfg, {'data_preprocessor.mean': [0.] * 3}, version=None) == []


def test_a_backbone_says_beside_its_weights_what_it_is():
    cfg = classifier()
    init_default_scope('mmpretrain')
    state = MODELS.build(deepcopy(cfg.model)).state_dict()
    for key, value in (('attention', 'causal'), ('out_type', 'last_token'), ('patch_size', 4), ('with_cp', True)):
        other = MODELS.build({**cfg.model, 'backbone': {**cfg.model.backbone, key: value}})
        found = changed_function(dict(state_dict=state), {}, other)
        assert [*found] == [f'model.backbone.{key}'] * (key in ('attention', 'out_type')), found


def test_a_checkpoint_s_type_is_never_looked_up(tmp_path, monkeypatch):
    (tmp_path / 'evil_part.py').write_text('raise SystemExit(3)')
    monkeypatch.syspath_prepend(tmp_path)
    assert changed(classifier(), there={'model.head.type': 'evil_part.LinearClsHead', 'model.head.odd': 3}) == []
