# Table 14 of the LBBT paper, without a bridge: the same probe of GPT-2 medium's own random initialisation
_base_ = './probe_nobridge_gpt2_medium_cifar10.py'
model = dict(backbone=dict(language=dict(arm='random')))
