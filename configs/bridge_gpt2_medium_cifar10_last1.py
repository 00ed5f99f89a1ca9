# Table 12 of the LBBT paper: only the last block trains, with what no language model brings
_base_ = './bridge_gpt2_medium_cifar10.py'
custom_hooks = [*_base_.custom_hooks, dict(type='lbbt_mm.PartialFreezeHook', trainable='last:1')]
