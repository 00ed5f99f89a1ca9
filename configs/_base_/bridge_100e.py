# As bridge_400e.py with 100 epochs at 6 x 32 images (ImageNet-1K, section 6)
_base_ = './bridge_400e.py'
train_cfg = dict(max_epochs=100, val_interval=5)
auto_scale_lr = dict(base_batch_size=192)
default_hooks = dict(checkpoint=dict(interval=1))
