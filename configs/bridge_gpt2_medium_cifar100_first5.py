# Table 8 of the LBBT paper: only the first 5 blocks train, with what no language model brings
_base_ = './bridge_gpt2_medium_cifar100.py'
custom_hooks = [*_base_.custom_hooks, dict(type='lbbt_mm.PartialFreezeHook', trainable='first:5')]
