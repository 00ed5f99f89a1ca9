# LBBT stage 1 for a CPU and minutes: GPT-2 blocks learn random labels of 640 images of an ImageFolder, 32x32, patch 4
_base_ = ['../_base_/small_bridge.py', '../_base_/datasets/imagefolder.py', '../_base_/language/gpt2.py']
model = dict(
    backbone=dict(
        img_size=32,
        patch_size=4,
        drop_path_rate=0.,  # there is nothing to regularise: memorising is the objective
        language=_base_.language),
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

val_cfg = dict(num_train_samples=640)
default_hooks = dict(
    checkpoint=dict(save_best='train/accuracy/top1', rule='greater'),
    partial_freeze=dict(type='lbbt_mm.PartialFreezeHook', trainable='all'))  # first:5, last:1: the other blocks freeze
