# As bridge_100e.py with 150 epochs and a usual validation (GPT-2 on ImageNet-1K, Table 1)
_base_ = './bridge_100e.py'
train_cfg = dict(max_epochs=150)
val_cfg = dict(_delete_=True)
