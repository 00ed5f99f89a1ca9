# Table 14 of the LBBT paper: linear probe of a bridged GPT-2 medium on CIFAR-10, of either arm
_base_ = ['_base_/probe_100e.py', '_base_/datasets/cifar10.py', '_base_/language/gpt2_medium.py']
model = dict(backbone=dict(language=_base_.language), head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(batch_size=128)
