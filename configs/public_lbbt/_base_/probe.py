# The linear probe of LBBT's public code: a new patch embedding trains with the classifier, in front of frozen blocks
_base_ = './bridge.py'
model = dict(
    backbone=dict(
        language=dict(_delete_=True, blocks=None),
        init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=None, leave_out=['patch_embed'])),
    head=dict(loss=dict(_delete_=True, type='CrossEntropyLoss', loss_weight=1.0)))
train_cfg = dict(max_epochs=200)
val_cfg = dict(_delete_=True)
default_hooks = dict(partial_freeze=dict(trainable='none', also=('head', 'backbone.patch_embed')))
