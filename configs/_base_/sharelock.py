# ShareLock on stores of features (tools/precompute_features.py): the recipe of its public code, but for the batch, all of
# which is in one loss. The public code's own is model.batch='accumulate'. What depends on the two models and their data is
# None
_base_ = 'mmpretrain::_base_/default_runtime.py'
batch_size = 16384
mlp = dict(type='lbbt_mm.MLPProjection', hidden_channels=4096, num_layers=4, dropout=0.2)
model = dict(
    type='lbbt_mm.ShareLock',
    text_projection=dict(**mlp, in_channels=None, out_channels=None),
    loss=dict(type='lbbt_mm.InfoNCELoss', scale=14.29),
    batch='full',
    accumulate_size=1024)
pairs = dict(
    type='lbbt_mm.FeaturePairs',
    image_store=None,
    text_store=None,
    image_expected=dict(),
    text_expected=dict(),
    val_share=0.02)
loader = dict(num_workers=1, persistent_workers=True, collate_fn=dict(type='lbbt_mm.collate_pairs'))
train_dataloader = dict(
    **loader,
    batch_size=batch_size,
    sampler=dict(type='lbbt_mm.PairSampler', batch_size=batch_size),
    dataset=dict(**pairs, split='train', captions='draw'))
val_dataloader = dict(
    **loader,
    batch_size=1024,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**pairs, split='val', captions='first'))
test_dataloader = dict(
    **loader,
    batch_size=1024,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**pairs, split='val', captions='all'))
val_evaluator = dict(type='lbbt_mm.PairLoss')
test_evaluator = [dict(type='lbbt_mm.PairLoss'), dict(type='lbbt_mm.PairRetrieval', topk=(1, 5, 10))]
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3, weight_decay=1e-4), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 150, by_epoch=False, begin=0, end=150),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=150)
]
train_cfg = dict(by_epoch=False, max_iters=5000, val_interval=50)
val_cfg = test_cfg = dict()
randomness = dict(seed=0)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=1, save_best='pair/loss', rule='less'))
custom_hooks = [
    dict(type='lbbt_mm.SeedingHook'),
    dict(type='lbbt_mm.EarlyStoppingHook', monitor='pair/loss', rule='less', min_delta=0., patience=50)
]
