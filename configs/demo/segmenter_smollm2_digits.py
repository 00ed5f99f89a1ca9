# The demo: a Segmenter with SmolLM2 blocks labels the pixels of handwritten digits on canvases of 64 (tools/demo.py makes
# them). Minutes are too few for a ViT from scratch: the encoder is a small ResNet, and an auxiliary head teaches it
_base_ = [
    '../_base_/language_segmenter.py', '../_base_/datasets/ade20k.py', '../_base_/segmenter_160k.py',
    '../_base_/segmentation_runtime.py', '../_base_/language/smollm2_135m.py'
]
classes = ('background', *'0123456789')
# most pixels are background
loss = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, class_weight=[0.1] + 10 * [1.])
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        base_channels=32,
        num_stages=2,
        strides=(1, 1),
        dilations=(1, 1),
        out_indices=(1, ),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False),
    decode_head=dict(
        in_channels=64,
        in_index=0,
        num_classes=len(classes),
        embed_dims=192,
        attn_drop=0.,
        proj_drop=0.,
        # Middle blocks: the first one's gains are 0.03 on average, so that its attention hardly writes anything.
        language=dict(blocks='10:12', arm='language', seed=0, fit='select', **_base_.language),
        loss_decode=dict(_delete_=True, **loss)),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=64,
        in_index=0,
        channels=64,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.,
        num_classes=len(classes),
        norm_cfg=dict(type='BN', requires_grad=True),
        loss_decode=dict(**loss)),
    test_cfg=dict(_delete_=True, mode='whole'))

dataset = dict(
    type='BaseSegDataset',
    reduce_zero_label=True,
    metainfo=dict(
        classes=classes,
        palette=[[30, 30, 30], [31, 119, 180], [255, 127, 14], [44, 160, 44], [214, 39, 40], [148, 103, 189],
                 [140, 86, 75], [227, 119, 194], [188, 189, 34], [23, 190, 207], [255, 221, 113]]))
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(**dataset, pipeline=pipeline))
val_dataloader = dict(batch_size=50, num_workers=1, dataset=dict(**dataset, pipeline=pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    _delete_=True,
    type='lbbt_mm.AutocastOptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1.0))
max_iters = 500
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=30, end=max_iters, by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=125)
val_cfg = dict(fp16=True)
test_cfg = dict(fp16=True)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=125, max_keep_ckpts=1, save_best=None))
