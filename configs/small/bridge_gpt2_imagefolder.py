# LBBT stage 1 for a CPU and minutes: GPT-2 blocks learn random labels of 640 images of an ImageFolder, 32x32, patch 4
_base_ = [
    '../_base_/language_classification.py', '../_base_/datasets/imagefolder.py', '../_base_/small_schedule.py',
    '../_base_/language/gpt2.py'
]
model = dict(
    backbone=dict(
        img_size=32,
        patch_size=4,
        drop_path_rate=0.,  # there is nothing to regularise: memorising is the objective
        language=dict(blocks=None, arm='language', seed=0, **_base_.language)),
    head=dict(num_classes=_base_.num_classes))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='lbbt_mm.RandomLabel', num_classes=_base_.num_classes, ratio=1.0, seed=0, data_root=_base_.data_root),
    dict(type='Resize', scale=_base_.scale, interpolation='bicubic'),
    dict(type='PackInputs', meta_keys=('sample_idx', 'img_path', 'ori_shape', 'img_shape', 'true_label'))
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.EvenSubset',
        num_samples=640,
        at_most=True,
        dataset=dict(
            type='CustomDataset', data_root=_base_.data_root, data_prefix='train', pipeline=train_pipeline)))
# Under random labels the test accuracy says little (it is at chance or below): a quick look at 500 images is enough
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.EvenSubset',
        num_samples=500,
        at_most=True,
        dataset=dict(
            type='CustomDataset', data_root=_base_.data_root, data_prefix='test', pipeline=_base_.pipeline)))

max_epochs = 12
optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=4)
val_cfg = dict(type='lbbt_mm.BridgeValLoop', num_train_samples=640, fp16=True)
test_cfg = dict()
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, convert_to_iter_based=True)
]
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=1, max_keep_ckpts=2, save_best='train/accuracy/top1', rule='greater'))
