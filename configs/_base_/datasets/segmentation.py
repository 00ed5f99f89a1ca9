# What the data sets of segmentation have in common: steps of their pipelines, loaders, and the metric
load, annotations, pack = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')
flip = dict(type='RandomFlip', prob=0.5)
mirrored = [
    dict(type='RandomFlip', prob=0., direction='horizontal'),
    dict(type='RandomFlip', prob=1., direction='horizontal')
]
train_dataloader = dict(num_workers=4, persistent_workers=True, sampler=dict(type='InfiniteSampler', shuffle=True))
val_dataloader = test_dataloader = dict(
    batch_size=1, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
