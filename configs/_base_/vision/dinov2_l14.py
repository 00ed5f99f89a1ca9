"""DINOv2-L/14 for tools/precompute_features.py images. The weights are fetched, and opened without running code."""
_base_ = './dinov2_l14_images.py'
default_scope = 'mmpretrain'
model = dict(type='ImageClassifier', backbone=_base_.vision_backbone)
test_pipeline = _base_.test_images
