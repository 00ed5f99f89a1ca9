# LBBT stage 2: a linear classifier on the frozen backbone of bridge_gpt2_imagefolder.py, with the true labels.
# The bridge's checkpoint is model.backbone.init_cfg.checkpoint; tools/lbbt.py fills it in.
_base_ = [
    '../_base_/language_classification.py', '../_base_/datasets/imagefolder.py', '../_base_/small_schedule.py',
    '../_base_/language/gpt2.py'
]
model = dict(
    backbone=dict(
        img_size=32,
        patch_size=4,
        language=dict(blocks=None, arm='language', seed=0, **_base_.language),
        init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=None)),
    # As in MAE's linear probe: arms whose features differ in scale train alike
    neck=dict(type='ClsBatchNormNeck', input_features=None, affine=False),
    head=dict(num_classes=_base_.num_classes))

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.EvenSubset',
        num_samples=640,
        at_most=True,
        dataset=dict(
            type='CustomDataset', data_root=_base_.data_root, data_prefix='train', pipeline=_base_.pipeline)))

max_epochs = 15
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(fp16=True)
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, convert_to_iter_based=True)]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1, max_keep_ckpts=2))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='lbbt_mm.PartialFreezeHook', module='backbone.blocks', trainable='none', also=('neck', 'head'))
]
