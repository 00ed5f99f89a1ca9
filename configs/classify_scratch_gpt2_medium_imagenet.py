# Table 1 of the LBBT paper, the baseline: the same from GPT-2 medium's own random initialisation
_base_ = './classify_gpt2_medium_imagenet.py'
model = dict(backbone=dict(language=dict(arm='random')))
