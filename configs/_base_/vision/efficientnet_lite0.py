"""EfficientNet-Lite0, which was supervised on ImageNet-1K; its features are the mean of the last map.

Its checkpoint comes from tools/model_converters/efficientnet_lite_to_mmpretrain.py.
"""
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='lbbt_mm.EfficientNetLite'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=1280, topk=(1, 5)))
data_preprocessor = dict(num_classes=1000, mean=[127, 127, 127], std=[128, 128, 128], to_rgb=True)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(224, 224), interpolation='bicubic'),
    dict(type='PackInputs'),
]
