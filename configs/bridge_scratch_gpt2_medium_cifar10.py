# Tables 2 and 4 of the LBBT paper, the baseline: the same from GPT-2 medium's own random initialisation
_base_ = './bridge_gpt2_medium_cifar10.py'
model = dict(backbone=dict(language=dict(arm='random')))
