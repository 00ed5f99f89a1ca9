# The bridge and its probe on a CPU, in minutes: bfloat16 autocast, AdamW, a short warm-up
_base_ = './language_classification.py'
model = dict(backbone=dict(language=dict(arm='language', seed=0)))
optim_wrapper = dict(
    type='lbbt_mm.AutocastOptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=4)
val_cfg = dict(type='lbbt_mm.BridgeValLoop', fp16=True)
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1, max_keep_ckpts=2))
