# Table 8 of the LBBT paper: only the first block trains, with what no language model brings
_base_ = './classify_gpt2_medium_cifar10.py'
custom_hooks = [*_base_.custom_hooks, dict(type='lbbt_mm.PartialFreezeHook', trainable='first:1')]
