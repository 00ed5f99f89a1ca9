# Segmenter-S-Mask/16 on ADE20K whose mask transformer is GPT-2's first two blocks, 768 wide
_base_ = '../segmenter_gpt2_ade20k.py'
model = dict(
    pretrained='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_small_p16_384_20220308-410f6037.pth',
    backbone=dict(embed_dims=384, num_heads=6),
    decode_head=dict(in_channels=384))
