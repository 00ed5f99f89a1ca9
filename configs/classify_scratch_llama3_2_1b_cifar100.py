# Table 1 of the LBBT paper, the baseline: the same from Llama-3.2-1B's own random initialisation
_base_ = './classify_llama3_2_1b_cifar100.py'
model = dict(backbone=dict(language=dict(arm='random')))
