# The forerunner's plain ViT-S on ImageNet-1K (80.1), by the recipe of its public code, on 8 GPUs
_base_ = ['../_base_/deit_forerunner_300e.py', '../_base_/datasets/imagenet_augmented.py']
model = dict(backbone=dict(arch='deit-small'), head=dict(num_classes=_base_.num_classes, in_channels=384))
augment = dict(
    type='RandAugment',
    policies='timm_increasing',
    num_policies=2,
    total_level=10,
    magnitude_level=9,
    magnitude_std=0.5,
    hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'))
erase = dict(type='RandomErasing', erase_prob=0.25, mode='rand')
train_dataloader = dict(
    batch_size=128,
    sampler=dict(_delete_=True, type='RepeatAugSampler', shuffle=True),
    dataset=dict(pipeline=[_base_.load, _base_.crop, _base_.flip, augment, erase, _base_.pack]))
val_evaluator = test_evaluator = dict(topk=(1, 5))
