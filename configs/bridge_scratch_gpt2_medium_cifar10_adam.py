# The baseline of bridge_gpt2_medium_cifar10_adam.py: the same from GPT-2 medium's own random initialisation
_base_ = './bridge_gpt2_medium_cifar10_adam.py'
model = dict(backbone=dict(language=dict(arm='random')))
