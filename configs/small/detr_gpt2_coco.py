# LanguageDETR for a CPU and minutes, on any data in the COCO layout under LBBT_DATA_ROOT: 3 + 3 blocks of GPT-2
_base_ = ['../_base_/small_detr.py', '../_base_/language/gpt2.py']
model = dict(language=dict(**_base_.language, encoder_blocks='0:3', decoder_blocks='0:3'))

train_cfg = dict(max_epochs=60, val_interval=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=True, eta_min_ratio=0.01, convert_to_iter_based=True)
]
default_hooks = dict(logger=dict(interval=4), checkpoint=dict(interval=10, max_keep_ckpts=2, save_best='coco/bbox_mAP_50'))
