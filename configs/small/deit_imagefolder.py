# The plain counterpart of rectifier_deit_imagefolder.py: DeiT-T on 2,000 images of an ImageFolder, 32x32, patch 8
_base_ = ['../_base_/small_deit.py', '../_base_/datasets/imagefolder.py']
model = dict(head=dict(num_classes=_base_.num_classes))
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
crop = dict(type='RandomCrop', crop_size=32, padding=4)
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.EvenSubset',
        num_samples=2000,
        at_most=True,
        dataset=dict(_base_.dataset, data_prefix='train', pipeline=[*_base_.images, crop, flip, _base_.pack])))
custom_hooks = [*_base_.custom_hooks, dict(type='lbbt_mm.GSNRHook', interval=2, num_batches=2)]
