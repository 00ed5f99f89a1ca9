# A Segmenter for a CPU and minutes, on any data in the ADE20K layout under LBBT_DATA_ROOT with LBBT_NUM_CLASSES
# classes: images with short sides of 192 in crops of 128, a small ViT from scratch with patches of 8, GPT-2's first two
# blocks in the mask transformer, bfloat16
_base_ = ['../_base_/small_segmenter.py', '../_base_/language/gpt2.py']
num_classes = {{'$LBBT_NUM_CLASSES:150'}}
crop_size, scale = (128, 128), (768, 192)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(img_size=crop_size, patch_size=8, num_layers=4, drop_path_rate=0.),
    decode_head=dict(num_classes=num_classes, language=_base_.language),
    test_cfg=dict(crop_size=crop_size, stride=(96, 96)))

# Classes are called by their numbers in the masks unless they are given names
dataset = dict(metainfo=dict(classes=[str(label) for label in range(1, num_classes + 1)]))
train_pipeline = [
    *_base_.loaded,
    dict(type='RandomResize', scale=scale, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    _base_.flip,
    _base_.pack
]
test_pipeline = [_base_.load, dict(_base_.resize, scale=scale), *_base_.annotated]
resizes = [dict(_base_.resize, scale=(int(768 * r), int(192 * r))) for r in _base_.img_ratios]
tta_pipeline = [_base_.load, dict(type='TestTimeAug', transforms=[resizes, *_base_.mirrored_annotated])]
train_dataloader = dict(dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))

train_cfg = dict(max_iters=400, val_interval=200)
default_hooks = dict(checkpoint=dict(interval=200))
