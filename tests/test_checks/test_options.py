"""Settings that nothing reads."""
import os

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, Registry

from lbbt_mm.checks.options import check_names, check_options
from tests.tool_processes import finish, start

CONFIG = dict(
    default_scope='mmpretrain',
    model=dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18),
               head=dict(type='LinearClsHead', num_classes=3)),
    train_cfg=dict(by_epoch=True, max_epochs=2), val_cfg=dict(), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
    train_dataloader=dict(batch_size=2, dataset=dict(type='CustomDataset', pipeline=[dict(type='LoadImageFromFile')])),
    default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)), randomness=dict(seed=0))


@pytest.mark.parametrize('key, meant', [
    ('train_cfg.max_epoch', 'train_cfg.max_epochs'), ('optim_wraper.optimizer.lr', 'optim_wrapper.optimizer.lr'),
    ('model.bakbone.depth', 'model.backbone.depth'), ('model.backbone.frozen_stage', 'model.backbone.frozen_stages'),
    ('train_dataloader.batchsize', 'train_dataloader.batch_size'), ('randomness.sede', 'randomness.seed'),
    ('default_hook.checkpoint.interval', 'default_hooks.checkpoint.interval'),
    ('default_hooks.chekpoint.interval', 'default_hooks.checkpoint.interval'),
    ('default_hooks.checkpoint.max_keep_ckpt', 'default_hooks.checkpoint.max_keep_ckpts'),
    ('optim_wrapper.clip_grads.max_norm', 'optim_wrapper.clip_grad.max_norm'),
    ('optim_wrapper.acumulative_counts', 'optim_wrapper.accumulative_counts'),
    ('train_cfg.val_intervall', 'train_cfg.val_interval'),
])
def test_a_key_that_nothing_reads_is_refused_with_the_nearest(key, meant):
    with pytest.raises(ValueError, match=rf'--cfg-options {key}: .* has no .*; did you mean {meant}\?'):
        check_options(Config(CONFIG), {key: 1})


@pytest.mark.parametrize('key', ['epochs', 'model.head.nonsense_that_is_near_to_nothing', 'train_cfg.xyz'])
def test_and_one_that_is_near_to_none_with_what_there_is(key):
    with pytest.raises(ValueError, match='nothing reads it'):
        check_options(Config(CONFIG), {key: 1})


@pytest.mark.parametrize('key', [
    'train_cfg.max_epochs', 'train_cfg.val_interval', 'train_cfg.val_begin', 'load_from', 'resume', 'work_dir',
    'auto_scale_lr.enable', 'model.backbone.frozen_stages', 'model.backbone.init_cfg', 'model.train_cfg',
    'env_cfg.cudnn_benchmark', 'optim_wrapper.clip_grad.max_norm', 'optim_wrapper.accumulative_counts',
    'optim_wrapper.paramwise_cfg.norm_decay_mult', 'optim_wrapper.optimizer.momentum', 'train_dataloader.num_workers',
    'train_dataloader.drop_last', 'train_dataloader.dataset.pipeline.0.type', 'train_dataloader.dataset.indices',
    'default_hooks.checkpoint.max_keep_ckpts', 'default_hooks.visualization.type', 'custom_hooks',
    'randomness.deterministic', 'val_cfg.fp16', 'visualizer.vis_backends',
])
def test_a_key_that_is_there_or_that_something_reads_passes(key):
    check_options(Config(CONFIG), {key: 1})


@pytest.mark.parametrize('options', [
    {'optim_wrapper.optimizer.type': 'SGD', 'optim_wrapper.optimizer.momentum': 0.9},
    {'optim_wrapper.optimizer.nesterov': True, 'optim_wrapper.optimizer.type': 'SGD'},
    {'model.backbone.type': 'VisionTransformer', 'model.backbone.drop_path_rate': 0.1},
    {'optim_wrapper.paramwise_cfg.custom_keys.encoder.lr_mult': 0.1},
    {'optim_wrapper.paramwise_cfg.flat_decay_mult': 0.}, {'model.backbone.norm_cfg.requires_grad': False},
    {'model.backbone.norm_cfg.num_groups': 8}, {'sync_bn': 'torch'}, {'efficient_conv_bn_eval': 'backbone'}])
def test_what_is_read_once_another_type_or_part_is_there(options):
    cfg = Config(CONFIG)
    cfg.merge_from_dict({'optim_wrapper.optimizer.type': 'AdamW', 'optim_wrapper.paramwise_cfg': dict(
        bias_decay_mult=0., custom_keys=dict(decoder=dict(lr_mult=2.))), 'model.backbone.norm_cfg': dict(type='BN')})
    check_options(cfg, options)


@pytest.mark.parametrize('scope, key', [
    ('mmdet', 'with_mask'), ('mmdet', 'box_type'), ('mmdet', 'poly2mask'), ('mmdet', 'imdecode_backend'),
    ('mmseg', 'reduce_zero_label')])
def test_arguments_of_a_step_of_the_codebase_before_mmcv_s_of_the_same_name(scope, key):
    step = dict(type='LoadAnnotations', with_bbox=True)
    cfg = Config(dict(default_scope=scope, train_dataloader=dict(dataset=dict(pipeline=[step]))))
    check_options(cfg, {f'train_dataloader.dataset.pipeline.0.{key}': True})
    if scope == 'mmdet':
        with pytest.raises(ValueError, match='nothing reads it; did you mean'):
            check_options(cfg, {f'train_dataloader.dataset.pipeline.0.{key}e': True})


def test_a_codebase_whose_parts_add_registries_when_they_are_imported(monkeypatch):
    """As mmpretrain's do, in a process that has imported nothing of it yet."""
    monkeypatch.setattr(MODELS, '_children', dict(MODELS._children))
    child = Registry('model', parent=MODELS, scope='project')
    monkeypatch.setattr(child, 'import_from_location', lambda: Registry('model', parent=MODELS, scope='another'))
    check_options(Config(dict(default_scope='project', model=dict(type='NoSuchModel'))), {'model.depth': 18})


@pytest.mark.parametrize('init_cfg, key, meant', [
    (dict(type='Pretrained', checkpoint='x.pth'), 'prefixx', 'prefix'),
    (dict(type='Normal', std=0.02), 'layr', 'layer'), (dict(type='lbbt_mm.BridgeInit'), 'checkpont', 'checkpoint')])
def test_options_of_initialisers(init_cfg, key, meant):
    cfg = Config(dict(model=dict(backbone=dict(type='X', init_cfg=init_cfg), neck=dict(init_cfg=[init_cfg]))))
    for place in ('model.backbone.init_cfg', 'model.neck.init_cfg.0'):
        check_options(cfg, {f'{place}.{meant}': 1})
        with pytest.raises(ValueError, match=rf'{place}.{key}: .*nothing reads it; did you mean {place}.{meant}\?'):
            check_options(cfg, {f'{place}.{key}': 1})


@pytest.mark.parametrize('name, meant', [
    ('custom_hook', 'custom_hooks'), ('train_dataloder', 'train_dataloader'), ('optim_wraper', 'optim_wrapper'),
    ('load_form', 'load_from'), ('param_schedulers', 'param_scheduler')])
def test_a_misspelt_name_at_the_top_of_a_config(name, meant):
    with pytest.raises(ValueError, match=f"nothing reads '{name}' at its top; did you mean {meant}"):
        check_names(Config({**CONFIG, name: 1}))


def test_names_of_an_author_s_own_are_nobody_s_business():
    names = ['test_pipeline', 'dataset_type', 'models', 'optimizer', 'bn_cfg', 'lr']
    check_names(Config({**CONFIG, **dict.fromkeys(names)}))


@pytest.mark.slow
def test_a_class_that_nothing_has_imported_yet(tmp_path):
    """To look for it imports packages, and these register more."""
    (tmp_path / 'run.py').write_text("train_dataloader = dict(dataset=dict(pipeline=[dict(type='lbbt_mm.RandomLabel')]))\n")
    script = ("from mmengine.config import Config\nfrom lbbt_mm.checks.options import check_options\n"
              "check_options(Config.fromfile('run.py'), {'train_dataloader.dataset.pipeline.0.exclude_true': True})\n"
              "check_options(Config.fromfile('run.py'), {'train_dataloader.dataset.pipeline.0.exclude': True})\n")
    finished = finish(start('python', '-c', script, cwd=tmp_path, PYTHONPATH=os.environ.get('PYTHONPATH', '')))
    assert finished.returncode == 1 and 'did you mean train_dataloader.dataset.pipeline.0.exclude_true' in finished.output
