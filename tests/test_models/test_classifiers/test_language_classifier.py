"""LanguageClassifier: widths that follow from the language model, and mmpretrain's own tools on it."""
from copy import deepcopy

import cv2
import numpy as np
import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmpretrain import FeatureExtractor, ImageClassificationInferencer
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample

from lbbt_mm.models.classifiers import LanguageClassifier
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_detection import REPO

WIDTH = 32


def classifier_config(model_type='gpt2', **overrides):
    """The small bridge config with a tiny language model."""
    cfg = Config.fromfile(REPO / 'configs' / 'small' / 'bridge_gpt2_imagefolder.py')
    cfg.model.backbone.language = dict(config=deepcopy(CONFIGS[model_type]), blocks='0:2', arm='random', seed=0)
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in overrides.items()})
    return cfg


def classifier(*args, **overrides) -> LanguageClassifier:
    init_default_scope('mmpretrain')
    cfg = classifier_config(*args, **overrides)
    model = MODELS.build(dict(data_preprocessor=cfg.data_preprocessor, **cfg.model))
    model.init_weights()
    return model


def batch(count=4):
    samples = [DataSample().set_gt_label(index % 10) for index in range(count)]
    return dict(inputs=[torch.randint(0, 255, (3, 32, 32), dtype=torch.uint8) for _ in samples], data_samples=samples)


@pytest.mark.parametrize('model_type', ('gpt2', 'qwen3'))
def test_widths_follow_from_the_language_model(model_type):
    model = classifier(model_type, model__neck=dict(type='ClsBatchNormNeck', input_features=None))
    assert model.head.fc.in_features == model.neck.bn.num_features == WIDTH
    assert isinstance(model, ImageClassifier)


def test_the_callers_config_stays_as_it_is():
    cfg = classifier_config()
    init_default_scope('mmpretrain')
    MODELS.build(cfg.model)
    assert cfg.model.head.in_channels is None


def test_a_written_width_that_contradicts_is_refused():
    with pytest.raises(Exception, match=r'head.in_channels=768 contradicts the backbone, which is 32 wide'):
        classifier(model__head__in_channels=768)


def test_a_neck_that_changes_the_width_decides_for_the_head():
    model = classifier(model__neck=dict(type='LinearNeck', in_channels=None, out_channels=8, gap_dim=0))
    assert model.head.fc.in_features == 8


def test_plain_image_classifier_takes_the_backbone_too():
    model = classifier(model__type='ImageClassifier', model__head__in_channels=WIDTH)
    assert type(model) is ImageClassifier and model.extract_feat(torch.randn(2, 3, 32, 32))[0].shape == (2, WIDTH)


def test_training_lowers_the_loss_and_reports_the_accuracy():
    model, data = classifier().train(), batch()
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=3e-3))
    logs = [model.train_step(data, wrapper) for _ in range(40)]
    assert logs[-1]['loss'] < 0.5 * logs[0]['loss']
    assert logs[-1]['accuracy_top-1'] == 100


def test_layer_wise_learning_rates_fall_towards_the_patch_embedding():
    model = classifier()
    constructor = LearningRateDecayOptimWrapperConstructor(
        dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1., weight_decay=0.05)), dict(layer_decay_rate=0.5))
    groups = {group['param_name']: group['lr'] for group in constructor(model).optimizer.param_groups}
    assert groups['head.fc.weight'] == groups['backbone.norm.weight'] == 1.
    assert groups['backbone.blocks.1.attn.qkv.weight'] == 0.5
    assert groups['backbone.blocks.0.mlp.fc1.weight'] == 0.25
    assert groups['backbone.pos_embed'] == groups['backbone.patch_embed.projection.weight'] == 0.125


def test_flops_count_every_product():
    """Matrix products of 64 tokens, spelt out: patch embedding, two blocks (qkv, scores and values, out, MLP), head."""
    model = classifier()
    tokens, patch = 64, 3 * 4 * 4
    block = tokens * WIDTH * WIDTH * (3 + 1 + 8) + 2 * tokens * tokens * WIDTH
    counted = get_model_complexity_info(model.eval(), (3, 32, 32), show_table=False, show_arch=False)['flops']
    expected = tokens * patch * WIDTH + 2 * block + WIDTH * 10
    assert expected <= counted < 1.1 * expected  # norms are counted too


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'picture.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    return str(path)


def test_mmpretrains_inferencer_and_feature_extractor(picture, tmp_path):
    cfg = classifier_config()
    model = classifier()
    torch.save(dict(state_dict=model.state_dict(), meta=dict()), tmp_path / 'model.pth')
    cfg.dump(tmp_path / 'config.py')
    scores = ImageClassificationInferencer(str(tmp_path / 'config.py'), str(tmp_path / 'model.pth'), device='cpu')(picture)
    assert scores[0]['pred_scores'].shape == (10, ) and 0 <= scores[0]['pred_label'] < 10
    extractor = FeatureExtractor(str(tmp_path / 'config.py'), str(tmp_path / 'model.pth'), device='cpu')
    feature = extractor(picture, stage='backbone')[0][0]
    image = torch.from_numpy(cv2.resize(cv2.imread(picture), (32, 32), interpolation=cv2.INTER_CUBIC))
    inputs = model.data_preprocessor(dict(inputs=[image.permute(2, 0, 1)]))['inputs']
    with torch.no_grad():
        assert_close(feature, model.eval().backbone(inputs)[0][0], depth=2)
