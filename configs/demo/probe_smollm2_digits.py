# The demo, LBBT stage 2: a linear classifier on the frozen backbone of bridge_smollm2_digits.py, with the true labels
_base_ = './bridge_smollm2_digits.py'
model = dict(
    backbone=dict(
        language=dict(_base_.language, _delete_=True, blocks='0:4'),
        init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=None)),
    neck=dict(type='ClsBatchNormNeck', input_features=None, affine=False))

train_dataloader = dict(dataset=dict(_base_.dataset, _delete_=True, data_prefix='train'))

optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=5, val_interval=5)
val_cfg = dict(_delete_=True, fp16=True)
param_scheduler = [_base_.param_scheduler[1]]
default_hooks = dict(
    logger=dict(interval=10),
    partial_freeze=dict(type='lbbt_mm.PartialFreezeHook', trainable='none', also=('neck', 'head')))
