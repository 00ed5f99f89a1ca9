# Segmenter's schedule on Pascal Context: 256 epochs of 4,998 images, 16 at a time, are 79,968 iterations
_base_ = './segmenter_160k.py'
train_cfg = dict(max_iters=80000, val_interval=8000)
default_hooks = dict(checkpoint=dict(interval=8000))
auto_scale_lr = dict(base_batch_size=16)
