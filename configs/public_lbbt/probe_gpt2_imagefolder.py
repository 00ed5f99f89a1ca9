# For a CPU and minutes: what differs from configs/small/probe_gpt2_imagefolder.py
_base_ = '../small/probe_gpt2_imagefolder.py'
model = dict(
    backbone=dict(
        attention='causal', out_type='last_token', position='language', final_norm='language', attn_drop=0.1, proj_drop=0.1,
        hidden_drop=0., embed_drop=0.1,
        init_cfg=dict(leave_out=['patch_embed'])),
    neck=None)
crop = dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0), interpolation='bicubic')
flip = dict(type='RandomFlip', prob=0.5)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=[_base_.load, crop, flip, _base_.pack])))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=5, convert_to_iter_based=True)
]
default_hooks = dict(partial_freeze=dict(also=('head', 'backbone.patch_embed')))
