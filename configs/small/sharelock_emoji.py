# EfficientNet-Lite0 and SmolLM2-135M, tied on the training emoji of tools/dataset_converters/emoji_to_captions.py, on a CPU
# and in minutes. Features are made by tools/precompute_features.py; docs/zero_shot.md has the commands
_base_ = '../_base_/sharelock.py'
features = '{{$LBBT_DATA_ROOT:data/emoji}}/features/'
batch_size = 512
model = dict(text_projection=dict(in_channels=576, out_channels=1280, hidden_channels=1024))
pairs = dict(
    image_store=features + 'train_images',
    text_store=features + 'train_texts',
    image_expected=dict(model='efficientnet_lite0'),
    text_expected=dict(layer=-1, pooling='last'),
    val_share=0.1)
train_dataloader = dict(
    num_workers=0, persistent_workers=False, batch_size=batch_size, sampler=dict(batch_size=batch_size), dataset=pairs)
val_dataloader = test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=pairs)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 20, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20)
]
train_cfg = dict(max_iters=300, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=50, max_keep_ckpts=2))
custom_hooks = [
    dict(type='lbbt_mm.SeedingHook'),
    dict(type='lbbt_mm.EarlyStoppingHook', monitor='pair/loss', rule='less', min_delta=0., patience=10)
]
