# The recipe of the forerunner's public code (ziqipang/LM4VisualEncoding at e34e919): 5e-4 x batch / 512, at batch 1024
_base_ = './deit_300e.py'
model = dict(
    backbone=dict(drop_path_rate=0.1),
    head=dict(
        loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'), cal_acc=False),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]))
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.05), clip_grad=None)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=20, eta_min=1e-5, convert_to_iter_based=True)
]
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')]
