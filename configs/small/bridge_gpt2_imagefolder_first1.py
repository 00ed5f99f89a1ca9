# bridge_gpt2_imagefolder.py, where the first block and what is new train, and the other blocks stay as they are
_base_ = './bridge_gpt2_imagefolder.py'
custom_hooks = [*_base_.custom_hooks, dict(type='lbbt_mm.PartialFreezeHook', trainable='first:1')]
