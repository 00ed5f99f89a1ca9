# DINOv2-L/14 as features are made of images: resized to 256, cropped to 224, the class token behind the final norm
vision_backbone = dict(
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
        prefix='backbone'))
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
test_images = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs')
]
