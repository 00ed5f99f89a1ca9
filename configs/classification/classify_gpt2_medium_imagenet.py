# Table 1 of the LBBT paper: GPT-2 medium on ImageNet-1K, 150 epochs
_base_ = ['../_base_/classify_150e.py', '../_base_/datasets/imagenet_augmented.py', '../_base_/language/gpt2_medium.py']
model = dict(backbone=dict(language=_base_.language), head=dict(num_classes=_base_.num_classes))
