# DeiT-T on images of 32x32, on a CPU and in minutes
_base_ = './deit.py'
model = dict(backbone=dict(img_size=32, patch_size=8), head=dict(topk=(1, )))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=15, val_interval=5)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1, max_keep_ckpts=2))
