# A Segmenter for CPUs, on any data in the ADE20K layout: no dropout, bfloat16 autocast, AdamW, a short warm-up.
# Masks are as ADE20K has them: 0 is ignored, the first class is 1
_base_ = ['./segmenter_160k.py', './datasets/ade20k.py']
model = dict(pretrained=None, decode_head=dict(attn_drop=0., proj_drop=0.))
img_ratios = [0.75, 1.0, 1.25]
dataset = dict(type='BaseSegDataset', reduce_zero_label=True)
train_dataloader = val_dataloader = test_dataloader = dict(num_workers=1, dataset=dataset)
optim_wrapper = dict(
    _delete_=True,
    type='lbbt_mm.AutocastOptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=20, by_epoch=False)
]
val_cfg = test_cfg = dict(fp16=True)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=2))
