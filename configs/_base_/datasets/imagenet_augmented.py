# ImageNet-1K with mmpretrain's usual crops and flips. The paper names no augmentation; GPT-2's training accuracy below its
# test accuracy there (59.2 and 68.8, Table 1) is what augmented training images give
_base_ = './imagenet.py'
crop = dict(type='RandomResizedCrop', scale=224, interpolation='bicubic')
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
test_images = [
    _base_.load,
    dict(type='ResizeEdge', scale=256, edge='short', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224)
]
train_dataloader = dict(dataset=dict(pipeline=[_base_.load, crop, flip, _base_.pack]))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=[*test_images, _base_.pack]))
