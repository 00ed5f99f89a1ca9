# The rectifier paper's Tables 5 and 6, ViT-S on Caltech-256: the plain model
_base_ = ['../_base_/deit_300e.py', '../_base_/datasets/caltech256.py']
model = dict(backbone=dict(arch='deit-small'), head=dict(num_classes=_base_.num_classes, in_channels=384))
crop = dict(type='RandomResizedCrop', scale=224, interpolation='bicubic')
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=[_base_.load, crop, flip, _base_.pack]))
val_evaluator = test_evaluator = dict(topk=(1, 5))
