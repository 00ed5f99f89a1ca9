# The probe of probe_gpt2_imagefolder.py without a bridge, on the language model's weights as they are
_base_ = './probe_gpt2_imagefolder.py'
model = dict(backbone=dict(init_cfg=None))
