# Tables 4, 11 and 14 of the LBBT paper, the baseline: the same from GPT-2 medium's own random initialisation
_base_ = './bridge_gpt2_medium_tiny_imagenet.py'
model = dict(backbone=dict(language=dict(arm='random')))
