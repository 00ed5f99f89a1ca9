# Any ImageFolder, train/CLASS/image.jpg and test/CLASS/image.jpg under LBBT_DATA_ROOT; images are only resized
data_root = '{{$LBBT_DATA_ROOT:data/imagefolder}}'
num_classes = 10
scale = (32, 32)
data_preprocessor = dict(
    num_classes=num_classes, mean=[127.5, 127.5, 127.5], std=[63.75, 63.75, 63.75], to_rgb=True)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, interpolation='bicubic'),
    dict(type='PackInputs')
]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CustomDataset', data_root=data_root, data_prefix='train', pipeline=pipeline))
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root=data_root, data_prefix='test', pipeline=pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_evaluator = val_evaluator
