# The demo, LBBT stage 1: the first blocks of SmolLM2 learn random labels of 500 handwritten digits, 8x8 in patches of 2
_base_ = ['../_base_/small_bridge.py', '../_base_/datasets/digits.py', '../_base_/language/smollm2_135m.py']
model = dict(
    backbone=dict(img_size=8, patch_size=2, language=dict(**_base_.language, blocks='0:4')),
    head=dict(num_classes=_base_.num_classes))

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.EvenSubset',
        num_samples=500,
        dataset=dict(
            _base_.train_dataloader.dataset, pipeline=[_base_.random_label, *_base_.images, _base_.pack_labels])))

train_cfg = dict(val_interval=3)
val_cfg = dict(num_train_samples=500)
param_scheduler = [dict(_base_.param_scheduler[0], end=16), _base_.param_scheduler[1]]
default_hooks = dict(logger=dict(interval=4))
