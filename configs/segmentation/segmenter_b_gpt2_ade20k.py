# Segmenter-B-Mask/16 on ADE20K whose mask transformer is GPT-2's first two blocks, as wide as the original's
_base_ = '../segmenter_gpt2_ade20k.py'
model = dict(
    pretrained='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_base_p16_384_20220308-96dfe169.pth',
    backbone=dict(embed_dims=768, num_heads=12),
    decode_head=dict(in_channels=768))
