"""Settings that nothing reads and numbers that no run can have."""
import pytest
from mmengine.config import Config

from lbbt_mm.checks.options import (check_language_checkpoints, check_monitors, check_numbers, check_optimizer,
                                    check_options, check_save_best)

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


@pytest.mark.parametrize('key, value', [
    ('train_cfg.max_epochs', 0), ('train_cfg.max_epochs', 1.5), ('train_cfg.max_epochs', True), ('train_cfg.max_iters', -1),
    ('train_cfg.val_interval', 0), ('train_cfg.val_begin', -1), ('train_dataloader.batch_size', 0),
    ('train_dataloader.num_workers', -1), ('train_dataloader.batch_size', '4')])
def test_numbers_that_no_run_can_have(key, value):
    cfg = Config(CONFIG)
    cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=rf'{key}={value!r}: expected a whole number, [01] or more'):
        check_numbers(cfg, ['train_dataloader'])
    check_numbers(Config(CONFIG), ['train_dataloader'])


@pytest.mark.parametrize('evaluator, good, bad', [
    (dict(type='Accuracy', topk=(1, 5)), ['accuracy/top1', 'accuracy/top5', 'auto'], ['top1', 'accuracy/top3', 'acc']),
    (dict(type='mmdet.CocoMetric', metric='bbox'), ['coco/bbox_mAP', 'coco/bbox_mAP_50'], ['bbox_mAP', 'coco/segm_mAP']),
    (dict(type='IoUMetric', iou_metrics=['mIoU']), ['mIoU', 'aAcc', 'mAcc'], ['miou', 'IoU', 'mDice']),
])
def test_save_best_has_to_be_a_metric_of_the_validation(evaluator, good, bad):
    def config(name):
        hooks = dict(checkpoint=dict(type='CheckpointHook', save_best=name))
        return Config({**CONFIG, 'val_dataloader': dict(batch_size=1), 'val_evaluator': evaluator, 'default_hooks': hooks})

    for name in (*good, good):
        check_save_best(config(name))
    for name in bad:
        with pytest.raises(ValueError, match=rf'save_best={name!r}: the validation has no such metric; expected auto or'):
            check_save_best(config(name))


def test_of_evaluators_that_are_not_known_nothing_is_said():
    hooks = dict(checkpoint=dict(save_best='anything'))
    for evaluator in (dict(type='Mine'), [dict(type='Accuracy'), dict(type='Mine')], None):
        check_save_best(Config({**CONFIG, 'val_dataloader': dict(), 'val_evaluator': evaluator, 'default_hooks': hooks}))


def test_a_bridge_s_metrics_are_of_two_splits():
    hooks = dict(checkpoint=dict(save_best='accuracy/top1'))
    cfg = Config({**CONFIG, 'val_dataloader': dict(), 'val_evaluator': dict(type='Accuracy'), 'default_hooks': hooks,
                  'val_cfg': dict(type='lbbt_mm.BridgeValLoop')})
    with pytest.raises(ValueError, match='train/accuracy/top1, test/accuracy/top1'):
        check_save_best(cfg)


def test_an_optimizer_that_is_not_registered():
    cfg = Config(CONFIG)
    check_optimizer(cfg)
    cfg.optim_wrapper.optimizer.type = 'SDG'
    with pytest.raises(ValueError, match="optim_wrapper.optimizer.type='SDG': no such optimizer .* Did you mean SGD"):
        check_optimizer(cfg)


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


COCO = dict(type='CocoMetric', ann_file='x.json', metric='bbox')
IOU = dict(type='IoUMetric', iou_metrics=['mIoU'])


@pytest.mark.parametrize('evaluator, more, message', [
    (dict(COCO, metric_items=['mAPP']), {}, "val_evaluator.metric_items='mAPP'.*Did you mean mAP"),
    (dict(COCO, metric=['bbox', 'segmm']), {}, "val_evaluator.metric='segmm'.*Did you mean segm"),
    ([dict(IOU, iou_metrics=['mIOU'])], {}, "val_evaluator.0.iou_metrics='mIOU'.*Did you mean mIoU"),
    (COCO, dict(param_scheduler=[dict(type='ReduceOnPlateauLR', monitor='coco/bbox_map')]),
     "param_scheduler.0.monitor='coco/bbox_map'.*Did you mean coco/bbox_mAP"),
    (IOU, dict(custom_hooks=[dict(type='EarlyStoppingHook', monitor='miou')]), "custom_hooks.0.monitor='miou'"),
])
def test_what_the_validation_does_not_have(evaluator, more, message):
    cfg = Config(dict(val_evaluator=evaluator, val_dataloader=dict(), **more))
    with pytest.raises(ValueError, match=message):
        check_monitors(cfg)


@pytest.mark.parametrize('more', [
    dict(param_scheduler=[dict(type='ReduceOnPlateauLR', monitor='coco/bbox_mAP')]),
    dict(param_scheduler=[dict(type='ReduceOnPlateauLR')], custom_hooks=[dict(type='EarlyStoppingHook',
                                                                               monitor='coco/bbox_mAP_50')])])
def test_what_it_has(more):
    check_monitors(Config(dict(val_evaluator=COCO, val_dataloader=dict(), **more)))


@pytest.mark.parametrize('evaluator, name', [
    (dict(IOU, iou_metrics='mIoU'), 'mIoU'), (dict(type='Accuracy', thrs=(0.1, 0.5)), 'accuracy/top1_thr-0.50')])
def test_a_best_metric_that_is_there(evaluator, name):
    check_save_best(Config(dict(val_evaluator=evaluator, val_dataloader=dict(),
                                default_hooks=dict(checkpoint=dict(save_best=name)))))


@pytest.mark.parametrize('key, value, message', [
    ('randomness.seed', 'abc', "randomness.seed='abc': expected a whole number, 0 or more"),
    ('optim_wrapper.optimizer.lr', 'abc', "optim_wrapper.optimizer.lr='abc': expected a number, 0 or more"),
    ('log_level', 'LOUD', "log_level='LOUD': expected one of DEBUG")])
def test_settings_of_another_type(key, value, message):
    cfg = Config(CONFIG)
    cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=message):
        check_numbers(cfg, ['train_dataloader'])


def test_a_language_model_that_is_not_there(tmp_path):
    def cfg(checkpoint, arm='language'):
        return Config(dict(model=dict(backbone=dict(language=dict(checkpoint=str(checkpoint), arm=arm)))))

    for checkpoint in (tmp_path / 'gone', './gone', '~/gone', 'gone.gguf'):
        with pytest.raises(FileNotFoundError, match=f'model.backbone.language.checkpoint: {checkpoint} does not exist'):
            check_language_checkpoints(cfg(checkpoint))
        check_language_checkpoints(cfg(checkpoint, 'random'))
    check_language_checkpoints(cfg(tmp_path))
    check_language_checkpoints(cfg('openai-community/gpt2'))
