# As bridge_400e.py with 50 epochs at 6 x 32 images (Llama on ImageNet-1K, Table 1)
_base_ = './bridge_400e.py'
max_epochs = 50
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = dict(T_max=max_epochs)
auto_scale_lr = dict(base_batch_size=192)
default_hooks = dict(checkpoint=dict(interval=1))
