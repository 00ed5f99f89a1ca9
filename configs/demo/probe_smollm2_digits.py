# The demo, LBBT stage 2: a linear classifier on the frozen backbone of bridge_smollm2_digits.py, with the true labels
_base_ = [
    '../_base_/language_classification.py', '../_base_/datasets/digits.py', '../_base_/small_schedule.py',
    '../_base_/language/smollm2_135m.py'
]
model = dict(
    backbone=dict(
        img_size=8,
        patch_size=2,
        language=dict(blocks='0:4', arm='language', seed=0, **_base_.language),
        init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=None)),
    neck=dict(type='ClsBatchNormNeck', input_features=None, affine=False),
    head=dict(num_classes=_base_.num_classes))

max_epochs = 5
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(fp16=True)
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, convert_to_iter_based=True)]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1, max_keep_ckpts=2))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='lbbt_mm.PartialFreezeHook', module='backbone.blocks', trainable='none', also=('neck', 'head'))
]
