# Pascal Context in crops of 480: 60 classes, the background is one (segmenter_gpt2_pascal_context_59.py leaves it out)
_base_ = './segmentation.py'
data_root = '{{$LBBT_DATA_ROOT:data/VOCdevkit/VOC2010}}'
train_pipeline = [
    _base_.load,
    _base_.annotations,
    dict(type='RandomResize', scale=(4160, 520), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(480, 480), cat_max_ratio=0.75),
    _base_.flip,
    dict(type='PhotoMetricDistortion'),
    _base_.pack
]
test_pipeline = [_base_.load, dict(type='Resize', scale=(4160, 520), keep_ratio=True), _base_.annotations, _base_.pack]
img_ratios = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
resizes = [dict(type='Resize', scale=(int(4160 * r), int(520 * r)), keep_ratio=True) for r in img_ratios]
tta_pipeline = [
    _base_.load,
    dict(type='TestTimeAug', transforms=[resizes, _base_.mirrored, [_base_.annotations], [_base_.pack]])
]
dataset = dict(
    type='PascalContextDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'))
train_dataloader = dict(
    batch_size=16,
    dataset=dict(**dataset, ann_file='ImageSets/SegmentationContext/train.txt', pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    dataset=dict(**dataset, ann_file='ImageSets/SegmentationContext/val.txt', pipeline=test_pipeline))
