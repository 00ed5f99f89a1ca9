# Segmenter-T-Mask/16 (ViT-Tiny encoder) with language blocks in its mask transformer. What depends on the language
# model is None. Where mmseg's Segmenter differs from the original (arXiv 2105.05633 and its code), these are the
# original's values.
_base_ = './segmentation_runtime.py'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512)),
    # ViT-Tiny/16 of augreg at 384, as mmseg converted it
    pretrained='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_tiny_p16_384_20220308-cce8c795.pth',
    backbone=dict(
        type='VisionTransformer',
        img_size=(512, 512),
        patch_size=16,
        in_channels=3,
        embed_dims=192,
        num_layers=12,
        num_heads=3,
        drop_path_rate=0.1,
        attn_drop_rate=0.,
        drop_rate=0.,
        final_norm=True,
        norm_cfg=dict(type='LN', eps=1e-5, requires_grad=True),
        with_cls_token=True,
        interpolate_mode='bilinear'),
    decode_head=dict(
        type='lbbt_mm.LanguageSegmenterHead',
        language=dict(blocks='0:2', arm='language', seed=0, fit='project'),
        in_channels=192,
        embed_dims=None,
        num_layers=None,
        num_classes=150,
        attn_drop=0.1,
        proj_drop=0.1,
        drop_path_rate=0.,
        projection_init='scaled_normal',
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(512, 512)))
