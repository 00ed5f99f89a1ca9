# Table 2 of the LBBT paper, the baseline: the same from GPT-2 medium's own random initialisation
_base_ = './bridge_gpt2_medium_cifar10_ratio30.py'
model = dict(backbone=dict(language=dict(arm='random')))
