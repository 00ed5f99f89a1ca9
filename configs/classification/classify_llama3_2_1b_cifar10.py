# Table 1 of the LBBT paper: as classify_gpt2_medium_cifar10.py with Llama-3.2-1B
_base_ = ['../_base_/bridge_400e.py', '../_base_/datasets/cifar10.py', '../_base_/language/llama3_2_1b.py']
model = dict(backbone=dict(language=_base_.language), head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(
    dataset=dict(pipeline=[dict(_base_.random_label, ratio=0.), *_base_.images, _base_.pack_labels]))
