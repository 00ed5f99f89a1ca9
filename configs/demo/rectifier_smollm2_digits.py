# The demo: a small ViT on 500 handwritten digits, 8x8 in patches of 2, with the last block of SmolLM2 on an auxiliary path
_base_ = ['../_base_/deit.py', '../_base_/datasets/digits.py', '../_base_/language/smollm2_135m.py']
model = dict(
    type='lbbt_mm.RectifiedClassifier',
    backbone=dict(
        img_size=8,
        patch_size=2,
        arch=dict(_delete_=True, embed_dims=96, num_layers=4, num_heads=3, feedforward_channels=384)),
    head=dict(num_classes=_base_.num_classes, in_channels=96, topk=(1, )),
    insert_after='last',
    path='auxiliary',
    rectifier=dict(type='lbbt_mm.LanguageRectifier', language=dict(**_base_.language, blocks=-1, arm='language', seed=0)))
train_dataloader = dict(
    dataset=dict(_delete_=True, type='lbbt_mm.EvenSubset', num_samples=500, dataset=_base_.train_dataloader.dataset))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=16),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=5)
default_hooks = dict(logger=dict(interval=4), checkpoint=dict(interval=1, max_keep_ckpts=2))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='lbbt_mm.AuxiliaryWeightHook', initial=0.35, floor=0.1),
    dict(type='lbbt_mm.GSNRHook', interval=1, num_batches=2)
]
