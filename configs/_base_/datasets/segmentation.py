# What the data sets of segmentation have in common: steps of their pipelines, loaders, and the metric. Each of them adds
# what depends on the sizes of images. Annotations come behind Resize in tests: the truth keeps its size
load, annotations, pack = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')
resize, flip = dict(type='Resize', keep_ratio=True), dict(type='RandomFlip', prob=0.5)
loaded, augmented = [load, annotations], [flip, dict(type='PhotoMetricDistortion'), pack]
annotated = [annotations, pack]
mirrored = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0., 1.)]
mirrored_annotated = [mirrored, [annotations], [pack]]
img_ratios = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
train_dataloader = dict(num_workers=4, persistent_workers=True, sampler=dict(type='InfiniteSampler', shuffle=True))
val_dataloader = test_dataloader = dict(
    batch_size=1, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
