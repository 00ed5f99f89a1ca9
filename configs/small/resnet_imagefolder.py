# A vision model of one's own for ShareLock: a ResNet of 18 layers and 16 to 128 channels on an ImageFolder, 32x32
_base_ = ['../_base_/language_classification.py', '../_base_/datasets/imagefolder.py']
model = dict(
    _delete_=True,
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=16, base_channels=16),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=_base_.num_classes, in_channels=128, topk=(1, )))
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
crop = dict(type='RandomCrop', crop_size=32, padding=4)
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=[*_base_.images, crop, flip, _base_.pack]))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=15, val_interval=5)
val_cfg = test_cfg = dict()
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
