# The paper's baseline in small: the probe without a bridge, on GPT-2's own random initialisation
_base_ = './probe_nobridge_gpt2_imagefolder.py'
model = dict(backbone=dict(language=dict(arm='random')))
