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

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.EvenSubset',
        num_samples=640,
        at_most=True,
        dataset=dict(
            _base_.train_dataloader.dataset, pipeline=[_base_.random_label, *_base_.images, _base_.pack_labels])))
# Under random labels the test accuracy says little (it is at chance or below): a quick look at 500 images is enough
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.EvenSubset',
        num_samples=500,
        at_most=True,
        dataset=_base_.val_dataloader.dataset))

optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=4)
val_cfg = dict(type='lbbt_mm.BridgeValLoop', num_train_samples=640, fp16=True)
test_cfg = dict()
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
]
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=1, max_keep_ckpts=2, save_best='train/accuracy/top1', rule='greater'),
    partial_freeze=dict(type='lbbt_mm.PartialFreezeHook', trainable='all'))  # first:5, last:1: the other blocks freeze
