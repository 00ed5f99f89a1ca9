# The bridge of LBBT's public code (Yaxin9Luo/cross_modality_llm, 17907af), as far as it can be told: what differs from the
# paper's recipe as configs/_base_/bridge_400e.py has it. Its data differ too: see the files that name a data set
_base_ = '../../_base_/bridge_400e.py'
model = dict(
    backbone=dict(
        attention='causal',
        out_type='last_token',
        position='language',
        final_norm='language',
        attn_drop=0.1,
        proj_drop=0.1,
        hidden_drop=0.,
        embed_drop=0.1,
        drop_path_rate=0.),
    head=dict(loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=5, convert_to_iter_based=True)
]
auto_scale_lr = dict(base_batch_size=256, enable=True)
crop = dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0), interpolation='bicubic')
flip = dict(type='RandomFlip', prob=0.5)
