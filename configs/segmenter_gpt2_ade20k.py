# Table 9 of the LBBT paper, ADE20K: Segmenter-T-Mask/16 whose mask transformer is GPT-2's first two blocks, 768 wide
_base_ = ['_base_/segmenter_160k.py', '_base_/datasets/ade20k.py', '_base_/language/gpt2.py']
model = dict(decode_head=dict(language=_base_.language))
