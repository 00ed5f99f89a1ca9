# A Segmenter whose encoder is GPT-2: its 12 blocks on patches of 16, from language alone; the mask transformer is
# mmseg's own, with the original's dropout
_base_ = ['../_base_/segmenter_160k.py', '../_base_/datasets/ade20k.py', '../_base_/language/gpt2.py']
model = dict(
    type='lbbt_mm.LanguageEncoderDecoder',
    data_preprocessor=dict(test_cfg=dict(size_divisor=16)),  # LLMBackbone takes whole patches only
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='lbbt_mm.LLMBackbone',
        img_size=512,
        patch_size=16,
        out_type='featmap',
        drop_path_rate=0.1,
        language=dict(blocks=None, arm='language', seed=0, **_base_.language)),
    decode_head=dict(
        _delete_=True,
        type='SegmenterMaskTransformerHead',
        in_channels=None,
        channels=192,
        embed_dims=192,
        num_heads=3,
        num_layers=2,
        num_classes=150,
        drop_rate=0.1,
        attn_drop_rate=0.1,
        drop_path_rate=0.,
        dropout_ratio=0.,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)))
