# A Segmenter for a CPU and minutes, on any data in the ADE20K layout under LBBT_DATA_ROOT with LBBT_NUM_CLASSES
# classes: images with short sides of 192 in crops of 128, a small ViT from scratch with patches of 8, GPT-2's first two
# blocks in the mask transformer, bfloat16
_base_ = '../segmenter_gpt2_ade20k.py'
num_classes = {{'$LBBT_NUM_CLASSES:150'}}
crop_size, scale = (128, 128), (768, 192)
model = dict(
    data_preprocessor=dict(size=crop_size),
    pretrained=None,
    backbone=dict(img_size=crop_size, patch_size=8, num_layers=4, drop_path_rate=0.),
    decode_head=dict(num_classes=num_classes, attn_drop=0., proj_drop=0.),
    test_cfg=dict(crop_size=crop_size, stride=(96, 96)))

# Masks as ADE20K has them: 0 is ignored, the first class is 1. Classes are called by those numbers unless they are
# given names
dataset = dict(
    type='BaseSegDataset',
    reduce_zero_label=True,
    metainfo=dict(classes=[str(label) for label in range(1, num_classes + 1)]))
train_pipeline = [
    _base_.load,
    _base_.annotations,
    dict(type='RandomResize', scale=scale, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    _base_.flip,
    _base_.pack
]
test_pipeline = [_base_.load, dict(type='Resize', scale=scale, keep_ratio=True), _base_.annotations, _base_.pack]
img_ratios = [0.75, 1.0, 1.25]
resizes = [dict(type='Resize', scale=(int(768 * r), int(192 * r)), keep_ratio=True) for r in img_ratios]
tta_pipeline = [
    _base_.load,
    dict(type='TestTimeAug', transforms=[resizes, _base_.mirrored, [_base_.annotations], [_base_.pack]])
]
train_dataloader = dict(num_workers=1, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(num_workers=1, dataset=dict(**dataset, pipeline=test_pipeline))

optim_wrapper = dict(
    _delete_=True,
    type='lbbt_mm.AutocastOptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=20, by_epoch=False)
]
train_cfg = dict(max_iters=400, val_interval=200)
val_cfg = dict(fp16=True)
test_cfg = dict(fp16=True)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200, max_keep_ckpts=2))
