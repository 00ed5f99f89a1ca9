# Tables 3 and 14 of the LBBT paper, without a bridge: the same probe of GPT-2 medium as it is
_base_ = './probe_gpt2_medium_cifar100.py'
model = dict(backbone=dict(init_cfg=None))
