# Segmenter's schedule on ADE20K: Nesterov's SGD 1e-3, polynomial decay, 160k iterations of 8 images
_base_ = './language_segmenter.py'
optim_wrapper = dict(
    type='OptimWrapper', clip_grad=None,
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=0., nesterov=True))
param_scheduler = [dict(type='PolyLR', eta_min=1e-5, power=0.9, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=160000, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=16000, max_keep_ckpts=3, save_best='mIoU'),
    visualization=dict(type='SegVisualizationHook'))
auto_scale_lr = dict(enable=False, base_batch_size=8)
