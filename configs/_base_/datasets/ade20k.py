# ADE20K, 150 classes, in crops of 512; multi-scale tests take multiples of the single-scale test's size
_base_ = './segmentation.py'
data_root = '{{$LBBT_DATA_ROOT:data/ade/ADEChallengeData2016}}'
train_pipeline = [
    *_base_.loaded,
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    *_base_.augmented
]
test_pipeline = [_base_.load, dict(_base_.resize, scale=(2048, 512)), *_base_.annotated]
resizes = [dict(_base_.resize, scale=(int(2048 * r), int(512 * r))) for r in _base_.img_ratios]
tta_pipeline = [_base_.load, dict(type='TestTimeAug', transforms=[resizes, *_base_.mirrored_annotated])]
dataset = dict(type='ADE20KDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline))
