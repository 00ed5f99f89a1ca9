# Table 1 of the LBBT paper: Llama-3.2-1B on ImageNet-1K, 50 epochs
_base_ = ['../_base_/classify_150e.py', '../_base_/datasets/imagenet_augmented.py', '../_base_/language/llama3_2_1b.py']
model = dict(backbone=dict(language=_base_.language), head=dict(num_classes=_base_.num_classes))
train_cfg = dict(max_epochs=50)
