# The rectifier paper's recipe: AdamW, 5e-4, weight decay 1e-5, cosine, 300 epochs; clipping, and what has no weight decay,
# are mmpretrain's, since it says no more
_base_ = './deit.py'
optim_wrapper = dict(optimizer=dict(weight_decay=1e-5))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=10)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=10, max_keep_ckpts=3))
