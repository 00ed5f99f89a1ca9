# Table 5 of the LBBT paper, the baseline: the same from Qwen3-14B's own random initialisation
_base_ = './bridge_qwen3_14b_tiny_imagenet.py'
model = dict(backbone=dict(language=dict(arm='random')))
