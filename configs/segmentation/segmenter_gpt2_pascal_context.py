# Table 9 of the LBBT paper, Pascal Context with its 60 classes: Segmenter-T-Mask/16 with GPT-2's first two blocks, 768 wide
_base_ = ['../_base_/segmenter_80k.py', '../_base_/datasets/pascal_context.py', '../_base_/language/gpt2.py']
model = dict(
    data_preprocessor=dict(size=(480, 480)),
    backbone=dict(img_size=(480, 480)),
    decode_head=dict(num_classes=60, language=_base_.language),
    test_cfg=dict(crop_size=(480, 480), stride=(320, 320)))
