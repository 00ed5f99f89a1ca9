# CIFAR-10, its true labels; crops and flips
_base_ = ['_base_/probe.py', '../_base_/datasets/cifar10.py', '../_base_/language/gpt2_medium.py']
model = dict(backbone=dict(language=_base_.language), head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=[_base_.crop, _base_.flip, _base_.pack]))
