"""The rectifier configs: plain models of the host library, and counterparts that differ in the rectifier alone."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.models import ImageClassifier

from lbbt_mm.config_keys import differing
from lbbt_mm.registry import MODELS
from tests.tiny_detection import REPO

CONFIGS = REPO / 'configs'
PAIRS = {path.stem.replace('rectifier_', ''): path for path in sorted((CONFIGS / 'rectifier').glob('*rectifier_*.py'))}
PAIRS = {**PAIRS, 'small/deit_imagefolder': CONFIGS / 'small' / 'rectifier_deit_imagefolder.py'}
#: Parameters of the plain models in millions, as published: DeiT-T, DeiT-S and DeiT-B without their classifier
PUBLISHED = {'deit-tiny': 5.5, 'deit-small': 21.7, 'deit-base': 85.8}


def plain_of(name):
    return Config.fromfile(CONFIGS / (f'{name}.py' if '/' in name else f'rectifier/{name}.py'))


def build(cfg):
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def test_every_row_has_its_counterpart():
    assert len(PAIRS) == 10 and {'deit_t_cifar100', 'vit_b_imagenet', 'deit_s_bar', 'forerunner_vit_s_imagenet'} <= {*PAIRS}


@pytest.mark.parametrize('name', PAIRS)
def test_a_rectified_model_differs_from_its_plain_counterpart_in_the_rectifier_alone(name):
    plain, rectified = plain_of(name), Config.fromfile(PAIRS[name])
    changed = {key.split('.')[0] if not key.startswith('model.') else '.'.join(key.split('.')[:2])
               for key, _, _ in differing(plain.to_dict(), rectified.to_dict())}
    added = set() if 'forerunner' in name else {'custom_hooks'}
    values = set() if 'small' in name else {'rectified_model', 'auxiliary_weight'}  # which children use
    assert changed == {'model.type', 'model.rectifier', 'model.insert_after', 'model.path', 'language', *values, *added}
    if added:
        own, others = rectified.custom_hooks[-1], rectified.custom_hooks[:-1]
        assert others == plain.custom_hooks
        assert own == dict(type='lbbt_mm.AuxiliaryWeightHook', initial=0.35, floor=0.1)


@pytest.mark.parametrize('name', [name for name in PAIRS if 'videomae' not in name])
def test_models_are_the_published_ones_and_the_frozen_block_is_no_parameter(name):
    plain, rectified = (build(cfg) for cfg in (plain_of(name), Config.fromfile(PAIRS[name])))
    assert type(plain) is ImageClassifier
    backbone, size = plain.backbone, PUBLISHED[plain_of(name).model.backbone.arch]
    patch = sum(parameter.numel() for parameter in backbone.patch_embed.parameters()) + backbone.pos_embed.numel()
    full = 197 * backbone.embed_dims + backbone.embed_dims * (3 * 16 * 16 + 1)  # at 224 x 224 in patches of 16
    count = sum(parameter.numel() for parameter in backbone.parameters()) - patch + full
    assert round(count / 1e6, 1) == size
    width = rectified.rectifier.embed_dims
    added = sum(parameter.numel() for parameter in rectified.parameters()) - sum(
        parameter.numel() for parameter in plain.parameters())
    assert added == 2 * width * backbone.embed_dims, 'two linear layers without bias'
    assert sum(buffer.numel() for buffer in rectified.rectifier.blocks.buffers()) > 3e6


def test_the_video_transformer_is_a_vit_s_over_sixteen_frames():
    cfg = plain_of('videomae_vit_s_ssv2')
    assert (cfg.model.backbone.embed_dims, cfg.model.backbone.depth, cfg.model.backbone.num_frames) == (384, 12, 16)
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs, cfg.default_scope) == (24, 40, 'mmaction')


@pytest.mark.parametrize('name', [path.stem for path in (CONFIGS / 'rectifier').glob('vit_s_imagenet_*.py')])
def test_robustness_sets_are_tested_with_the_model_of_imagenet(name):
    cfg, trained = Config.fromfile(CONFIGS / 'rectifier' / f'{name}.py'), plain_of('vit_s_imagenet')
    assert cfg.model == trained.model and cfg.train_dataloader == trained.train_dataloader
    found = cfg.test_dataloader.dataset
    of_some_classes = name.endswith(('_a', '_r'))
    assert (found.type == 'lbbt_mm.ClassSubset') == of_some_classes
    assert cfg.test_evaluator.type == ('lbbt_mm.ClassSubsetAccuracy' if of_some_classes else 'Accuracy')
    folders = found.dataset if of_some_classes else found
    assert folders.type == 'CustomDataset' and folders.data_root.endswith(name[len('vit_s_'):].replace('_c', '_c/fog/3'))


def test_the_recipes_are_those_of_the_docs():
    seed, forerunner = plain_of('deit_s_cifar100'), plain_of('forerunner_vit_s_imagenet')
    assert (seed.optim_wrapper.optimizer.lr, seed.optim_wrapper.optimizer.weight_decay, seed.train_cfg.max_epochs,
            seed.train_dataloader.batch_size) == (5e-4, 1e-5, 300, 256)
    assert forerunner.optim_wrapper.optimizer.lr == 5e-4 * 1024 / 512
    assert forerunner.optim_wrapper.optimizer.weight_decay == 0.05 and forerunner.optim_wrapper.clip_grad is None
    assert [step.type for step in forerunner.train_dataloader.dataset.pipeline][1:-1] == [
        'RandomResizedCrop', 'RandomFlip', 'RandAugment', 'RandomErasing']
    assert forerunner.param_scheduler[0].end == 20 and forerunner.model.backbone.drop_path_rate == 0.1
    assert [augment.type for augment in forerunner.model.train_cfg.augments] == ['Mixup', 'CutMix']
    assert forerunner.custom_hooks[-1].momentum == pytest.approx(1 - 0.99996)
