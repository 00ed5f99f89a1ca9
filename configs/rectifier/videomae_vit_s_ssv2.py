# The rectifier paper's Table 4, VideoMAE's ViT-S on Something-Something-v2, fine-tuned from its pre-trained weights
# (load_from); needs mmaction2. Batch 24, 40 epochs, rate and decay are the paper's; for the rest it is silent
_base_ = '../_base_/language_runtime.py'
default_scope = 'mmaction'
num_classes = 174
model = dict(
    type='Recognizer3D',
    backbone=dict(
        type='VisionTransformer',
        img_size=224,
        patch_size=16,
        embed_dims=384,
        depth=12,
        num_heads=6,
        num_frames=16,
        drop_path_rate=0.1,
        norm_cfg=dict(type='LN', eps=1e-6)),
    cls_head=dict(type='TimeSformerHead', num_classes=num_classes, in_channels=384, average_clips='prob'),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW'))
data_root = '{{$LBBT_DATA_ROOT:data/sthv2}}'
open_video, read_video = dict(type='OpenCVInit'), dict(type='OpenCVDecode')
sample = dict(type='UniformSample', clip_len=16)
format_clip, pack = dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')
train_clips = [
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False)
]
test_clips = [dict(type='Resize', scale=(-1, 224)), dict(type='CenterCrop', crop_size=224)]
train_dataloader = dict(
    batch_size=24,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='VideoDataset',
        ann_file='sthv2_train_list_videos.txt',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        pipeline=[open_video, sample, read_video, *train_clips, format_clip, pack]))
val_dataloader = test_dataloader = dict(
    batch_size=24,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VideoDataset',
        ann_file='sthv2_val_list_videos.txt',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        test_mode=True,
        pipeline=[open_video, dict(**sample, test_mode=True), read_video, *test_clips, format_clip, pack]))
val_evaluator = test_evaluator = dict(type='AccMetric')
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-5))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=5)
val_cfg, test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=5, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'))
