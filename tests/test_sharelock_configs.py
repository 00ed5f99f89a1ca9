"""The ShareLock configs: the published recipe, widths that fit, keys for the ablations."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from lbbt_mm.checks import check_settings
from lbbt_mm.launch.settings import apply_options
from lbbt_mm.registry import MODELS
from tests.data_splits import assert_trains_and_tests_on_its_own_splits

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
CC3M = sorted((CONFIGS / 'zero_shot').glob('sharelock_*_cc3m.py'))
RUNS = [*CC3M, CONFIGS / 'small' / 'sharelock_emoji.py', CONFIGS / 'small' / 'sharelock_resnet.py']
#: Widths of the image and the text features, and where embeddings meet
WIDTHS = dict(sharelock_llama3_8b_cc3m=(1024, 4096, 1024), sharelock_gemma2_9b_cc3m=(1024, 3584, 1024),
              sharelock_both_llama3_8b_cc3m=(1024, 4096, 1024), sharelock_vision_to_text_llama3_8b_cc3m=(1024, 4096, 4096),
              sharelock_emoji=(1280, 576, 1280), sharelock_resnet=(128, 576, 128))


def build(cfg: Config):
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_every_config_builds_its_model_and_takes_the_features_of_its_models(path):
    cfg = Config.fromfile(path)
    check_settings(cfg, ('train_dataloader', 'val_dataloader', 'test_dataloader'))
    image, text, width = WIDTHS[path.stem]
    with torch.device('meta'):
        found = build(cfg).embed(dict(image=torch.zeros(4, image), text=torch.zeros(4, text)))
    assert [tuple(one.shape) for one in found] == [(4, width)] * 2


def test_a_vision_model_of_ones_own_fits_and_is_the_one_that_is_expected():
    path = CONFIGS / 'small' / 'resnet_imagefolder.py'
    vision, tied = Config.fromfile(path), Config.fromfile(CONFIGS / 'small' / 'sharelock_resnet.py')
    for loader in (tied.train_dataloader, tied.val_dataloader, tied.test_dataloader):
        assert loader.dataset.image_expected == dict(model=path.stem)
    assert_trains_and_tests_on_its_own_splits(vision)
    init_default_scope('mmpretrain')
    model = MODELS.build(vision.model).eval()
    features, = model.extract_feat(torch.zeros(2, 3, 32, 32))
    assert features.shape == (2, tied.model.text_projection.out_channels) and model.head.fc.out_features == 10


@pytest.mark.parametrize('path', CC3M, ids=lambda path: path.stem)
def test_the_recipe_is_the_published_one(path):
    cfg = Config.fromfile(path)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('Adam', 1e-3, 1e-4)
    assert cfg.optim_wrapper.clip_grad.max_norm == 1 and cfg.train_cfg.max_iters == 5000 and not cfg.train_cfg.by_epoch
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.begin, warm_up.end, cosine.begin, cosine.type) == (0, 150, 150, 'CosineAnnealingLR')
    assert cfg.model.loss == dict(type='lbbt_mm.InfoNCELoss', scale=14.29)
    assert cfg.train_dataloader.batch_size == cfg.train_dataloader.sampler.batch_size == 16384
    stopping, = (hook for hook in cfg.custom_hooks if hook.type == 'lbbt_mm.EarlyStoppingHook')
    assert (stopping.monitor, stopping.patience) == ('pair/loss', 50)
    for part in filter(None, (cfg.model.text_projection, cfg.model.get('vision_projection'))):
        assert (part.num_layers, part.hidden_channels, part.dropout) == (4, 4096, 0.2)


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_training_and_validation_are_two_splits_of_the_same_stores(path):
    cfg = Config.fromfile(path)
    train, val, test = (cfg[f'{name}_dataloader'].dataset.to_dict() for name in ('train', 'val', 'test'))
    assert [part.pop('split') for part in (train, val, test)] == ['train', 'val', 'val']
    assert [part.pop('captions') for part in (train, val, test)] == ['draw', 'first', 'all']
    assert train == val == test


@pytest.mark.parametrize('options', [{'model.batch': 'accumulate'}, {'model.text_projection.num_layers': 1},
                                     {'model.text_projection.hidden_channels': 32, 'MLPProjection.activation': 'GELU'},
                                     {'FeaturePairs.image_store': 'other', 'FeaturePairs.image_expected.model': 'other',
                                      'model.text_projection.out_channels': 768}], ids=str)
def test_ablations_are_keys(options):
    cfg = Config.fromfile(CONFIGS / 'zero_shot' / 'sharelock_llama3_8b_cc3m.py')
    apply_options(cfg, options)
    build(cfg)
    if 'FeaturePairs.image_store' in options:
        assert {cfg[f'{name}_dataloader'].dataset.image_store for name in ('train', 'val', 'test')} == {'other'}
