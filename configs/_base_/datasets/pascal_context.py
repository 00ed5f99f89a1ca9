# Pascal Context in crops of 480: 60 classes, the background is one (segmenter_gpt2_pascal_context_59.py leaves it out)
_base_ = './segmentation.py'
data_root = '{{$LBBT_DATA_ROOT:data/VOCdevkit/VOC2010}}'
train_pipeline = [
    *_base_.loaded,
    dict(type='RandomResize', scale=(4160, 520), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(480, 480), cat_max_ratio=0.75),
    *_base_.augmented
]
test_pipeline = [_base_.load, dict(_base_.resize, scale=(4160, 520)), *_base_.annotated]
resizes = [dict(_base_.resize, scale=(int(4160 * r), int(520 * r))) for r in _base_.img_ratios]
tta_pipeline = [_base_.load, dict(type='TestTimeAug', transforms=[resizes, *_base_.mirrored_annotated])]
dataset = dict(
    type='PascalContextDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'))
train_dataloader = dict(
    batch_size=16,
    dataset=dict(**dataset, ann_file='ImageSets/SegmentationContext/train.txt', pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    dataset=dict(**dataset, ann_file='ImageSets/SegmentationContext/val.txt', pipeline=test_pipeline))
