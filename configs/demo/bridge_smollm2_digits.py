# The demo, LBBT stage 1: the first blocks of SmolLM2 learn random labels of 500 handwritten digits, 8x8 in patches of 2
_base_ = [
    '../_base_/language_classification.py', '../_base_/datasets/digits.py', '../_base_/small_schedule.py',
    '../_base_/language/smollm2_135m.py'
]
model = dict(
    backbone=dict(
        img_size=8, patch_size=2, language=dict(blocks='0:4', arm='language', seed=0, **_base_.language)),
    head=dict(num_classes=_base_.num_classes))

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.EvenSubset',
        num_samples=500,
        dataset=dict(
            _base_.train_dataloader.dataset, pipeline=[_base_.random_label, *_base_.images, _base_.pack_labels])))

optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=3)
val_cfg = dict(type='lbbt_mm.BridgeValLoop', num_train_samples=500, fp16=True)
test_cfg = dict()
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=16),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
]
default_hooks = dict(logger=dict(interval=4), checkpoint=dict(interval=1, max_keep_ckpts=2))
