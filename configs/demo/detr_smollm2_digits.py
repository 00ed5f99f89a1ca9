# The demo: LanguageDETR on SmolLM2 blocks finds handwritten digits on canvases of 64 pixels (tools/demo makes them)
_base_ = ['../_base_/small_detr.py', '../_base_/language/smollm2_135m.py']
model = dict(
    num_queries=25,
    # Middle blocks: the first one's gains are 0.03 on average, so that its attention hardly writes anything.
    language=dict(**_base_.language, encoder_blocks='10:11', decoder_blocks='10:12'),
    backbone=dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1, )),
    neck=dict(in_channels=[64]),
    # Boxes come first and their gradients are large; with its usual weight of 1 the class is hardly learned in minutes.
    bbox_head=dict(num_classes=10, loss_cls=dict(loss_weight=4.)),
    test_cfg=dict(max_per_img=25))

metainfo = dict(classes=tuple('0123456789'))
resize = dict(type='Resize', scale=(64, 64))
train_pipeline = [_base_.load, _base_.annotations, resize, _base_.pack]
test_pipeline = [_base_.load, resize, _base_.annotations, _base_.pack_test]
train_dataloader = dict(
    batch_size=16, dataset=dict(metainfo=metainfo, filter_cfg=dict(min_size=1), pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(batch_size=50, dataset=dict(metainfo=metainfo, pipeline=test_pipeline))

train_cfg = dict(max_epochs=4, val_interval=1)
optim_wrapper = dict(
    optimizer=dict(lr=3e-4),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=5.))))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', by_epoch=True, milestones=[3], gamma=0.1)
]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1, max_keep_ckpts=2))
