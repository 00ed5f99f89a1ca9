# Tables 2, 4 and 8 of the LBBT paper: GPT-2 medium learns random labels of CIFAR-100
_base_ = ['../_base_/bridge_400e.py', '../_base_/datasets/cifar100.py', '../_base_/language/gpt2_medium.py']
model = dict(backbone=dict(language=_base_.language), head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(dataset=dict(pipeline=[_base_.random_label, *_base_.images, _base_.pack_labels]))
