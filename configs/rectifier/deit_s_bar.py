# The rectifier paper's Table 6, ViT-S on BAR: the plain model
_base_ = ['../_base_/deit_300e.py', '../_base_/datasets/bar.py']
model = dict(backbone=dict(arch='deit-small'), head=dict(num_classes=_base_.num_classes, in_channels=384, topk=(1, 3)))
crop = dict(type='RandomResizedCrop', scale=224, interpolation='bicubic')
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
train_dataloader = dict(dataset=dict(pipeline=[_base_.load, crop, flip, _base_.pack]))
val_evaluator = test_evaluator = dict(topk=(1, 3))
