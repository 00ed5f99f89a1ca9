# Table 5 of the LBBT paper, the baseline: the same from Qwen3-14B's own random initialisation
_base_ = './bridge_qwen3_14b_cifar10.py'
model = dict(backbone=dict(language=dict(arm='random')))
