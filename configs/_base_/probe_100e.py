# Linear probe (section 6): 100 epochs at batch 128 of a linear layer on the frozen backbone of a bridge, whose checkpoint
# tools/lbbt.py CONFIG --probe PROBE fills in; model.backbone.init_cfg=None probes the language model without a bridge.
# Features are standardised before it, as in MAE's probe, so that arms of different feature scale are compared at one
# learning rate. The rest of the recipe is the bridge's
_base_ = './bridge_400e.py'
model = dict(
    backbone=dict(language=dict(_delete_=True, blocks=None), init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=None)),
    neck=dict(type='ClsBatchNormNeck', input_features=None, affine=False))
train_cfg = dict(max_epochs=100)
val_cfg = dict(_delete_=True)
auto_scale_lr = dict(base_batch_size=128)
default_hooks = dict(partial_freeze=dict(trainable='none', also=('neck', 'head')))
