# Tests a checkpoint of sharelock_llama3_8b_cc3m.py on ImageNet-1K's validation images, LBBT_DATA_ROOT: CLIP's names of the
# classes in its 80 templates (pip install --no-deps clip-benchmark). The paper has one template, as has
# model.zero_shot.templates='A photo of a {}'
_base_ = './sharelock_llama3_8b_cc3m.py'
model = dict(
    vision=dict(
        backbone=dict(
            type='VisionTransformer',
            arch='large',
            img_size=518,
            patch_size=14,
            layer_scale_init_value=1e-5,
            out_type='cls_token',
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://download.openmmlab.com/mmpretrain/v1.0/dinov2/'
                'vit-large-p14_dinov2-pre_3rdparty_20230426-f3302d9e.pth',
                prefix='backbone')),
        pooling='class'),
    text=dict(location='meta-llama/Meta-Llama-3-8B', layer=-1, pooling='last'),
    zero_shot=dict(
        classes='clip-benchmark:imagenet1k', templates='clip-benchmark:imagenet1k', cache='work_dirs/zero_shot_classes'))
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
test_images = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs')
]
test_dataloader = dict(
    _delete_=True,
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ImageNet', data_root='{{$LBBT_DATA_ROOT:data/imagenet}}', split='val', pipeline=test_images))
test_evaluator = dict(_delete_=True, type='Accuracy', topk=(1, 5))
