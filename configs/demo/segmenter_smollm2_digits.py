# The demo: a Segmenter with SmolLM2 blocks labels the pixels of handwritten digits on canvases of 64 (tools/demo
# makes them). Minutes are too few for a ViT from scratch: the encoder is a small ResNet of stride 4
_base_ = ['../_base_/small_segmenter.py', '../_base_/language/smollm2_135m.py']
classes = ('background', *'0123456789')
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        num_stages=2,
        strides=(1, 1),
        dilations=(1, 1),
        out_indices=(1, ),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        zero_init_residual=False),
    decode_head=dict(
        in_channels=64,
        in_index=0,
        num_classes=len(classes),
        embed_dims=192,
        # Middle blocks: the first one's gains are 0.03 on average, so that its attention hardly writes anything.
        language=dict(**_base_.language, blocks='10:12', fit='select')),
    test_cfg=dict(_delete_=True, mode='whole'))

dataset = dict(
    metainfo=dict(
        classes=classes,
        palette=[[30, 30, 30], [31, 119, 180], [255, 127, 14], [44, 160, 44], [214, 39, 40], [148, 103, 189],
                 [140, 86, 75], [227, 119, 194], [188, 189, 34], [23, 190, 207], [255, 221, 113]]))
pipeline = [_base_.load, _base_.annotations, _base_.pack]
resizes = [dict(type='Resize', scale_factor=ratio, keep_ratio=True) for ratio in _base_.img_ratios]
unmirrored = _base_.mirrored[:1]  # digits have a side
tta_pipeline = [_base_.load, dict(type='TestTimeAug', transforms=[resizes, unmirrored, *_base_.mirrored_annotated[1:]])]
train_dataloader = dict(dataset=dict(**dataset, pipeline=pipeline))
val_dataloader = test_dataloader = dict(batch_size=50, dataset=dict(**dataset, pipeline=pipeline))

optim_wrapper = dict(
    # The last norm is over 11 classes: until its gains have grown, no pixel's probability can pass 0.76.
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=5.), 'decode_head.mask_norm': dict(lr_mult=30.)}))
param_scheduler = [
    dict(_base_.param_scheduler[0], start_factor=0.01, end=30),
    dict(_base_.param_scheduler[1], begin=30)
]
train_cfg = dict(max_iters=1200, val_interval=300)
default_hooks = dict(checkpoint=dict(interval=300, save_best=None))
