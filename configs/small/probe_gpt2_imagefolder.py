# LBBT stage 2: a linear classifier on the frozen backbone of bridge_gpt2_imagefolder.py, with the true labels.
# tools/lbbt.py fills in the bridge's checkpoint; model.backbone.init_cfg=None probes the language model without a bridge
_base_ = './bridge_gpt2_imagefolder.py'
model = dict(
    backbone=dict(
        language=dict(_base_.language, _delete_=True, blocks=None),
        init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=None)),
    # As in MAE's linear probe: arms whose features differ in scale train alike
    neck=dict(type='ClsBatchNormNeck', input_features=None, affine=False))

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.dataset.pipeline)))
val_dataloader = dict(dataset=dict(_base_.test_dataloader.dataset, _delete_=True))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=15, val_interval=15)
val_cfg = dict(_delete_=True, fp16=True)
param_scheduler = [_base_.param_scheduler[1]]
default_hooks = dict(
    checkpoint=dict(save_best=None, rule=None), partial_freeze=dict(trainable='none', also=('neck', 'head')))
