# Table 5 of the LBBT paper: Qwen3-14B learns random labels of TinyImageNet-200
_base_ = ['../_base_/bridge_400e.py', '../_base_/datasets/tiny_imagenet.py', '../_base_/language/qwen3_14b.py']
model = dict(backbone=dict(language=_base_.language), head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(dataset=dict(pipeline=[_base_.random_label, *_base_.images, _base_.pack_labels]))
