# Stage 2 of LBBT, without a bridge: the same probe of GPT-2 medium as it is
_base_ = './probe_gpt2_medium_imagenet.py'
model = dict(backbone=dict(init_cfg=None))
