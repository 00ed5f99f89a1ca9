# DETR for CPUs: images of 256 pixels, stride-16 features of a small ResNet that starts from scratch (its batch norms train)
_base_ = './language_detr_r50_coco.py'
model = dict(
    num_queries=50,
    proj_drop=0.,
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        base_channels=32,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2, ),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        zero_init_residual=False),
    neck=dict(in_channels=[128]),
    positional_encoding=dict(temperature=20),  # a grid of 16 x 16 has no use for the wavelengths of 10000
    test_cfg=dict(max_per_img=50))

load, annotations = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)
resize = dict(type='Resize', scale=(256, 256), keep_ratio=True)
pack = dict(type='PackDetInputs')
pack_test = dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
train_pipeline = [load, annotations, dict(type='RandomFlip', prob=0.5), resize, pack]
test_pipeline = [load, resize, annotations, pack_test]
train_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=test_pipeline))

# No layer is pretrained for vision, so none has a learning rate of its own
optim_wrapper = dict(
    type='lbbt_mm.AutocastOptimWrapper',
    optimizer=dict(lr=2e-4, fused=True),
    paramwise_cfg=dict(_delete_=True, norm_decay_mult=0., bias_decay_mult=0.))
auto_scale_lr = dict(base_batch_size=8)
