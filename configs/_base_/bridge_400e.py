# The paper's recipe (section 6) on one GPU: 400 epochs at batch 64, lr 1e-3 with cosine annealing over the whole training,
# weight decay 0.05, drop path 0.1, gradients clipped at norm 1. It says Adam, whose decay is coupled and far stronger than
# AdamW's: AdamW is the default here, and optim_wrapper.optimizer.type=Adam is the paper read to the letter
_base_ = './language_classification.py'
model = dict(backbone=dict(drop_path_rate=0.1, language=dict(arm='language', seed=0)))

train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=10)
# train/accuracy/top1 is of the labels that are trained, test/accuracy/top1 of the true ones
val_cfg = dict(type='lbbt_mm.BridgeValLoop', num_train_samples=10000)
test_cfg = dict()
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(
    checkpoint=dict(interval=10, max_keep_ckpts=2),
    partial_freeze=dict(type='lbbt_mm.PartialFreezeHook', trainable='all'))  # first:5, last:1: the other blocks freeze
