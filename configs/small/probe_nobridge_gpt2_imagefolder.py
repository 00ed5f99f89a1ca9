# The probe of probe_gpt2_imagefolder.py without a bridge, on the backbone's start (arm='random': the paper's baseline)
_base_ = './probe_gpt2_imagefolder.py'
model = dict(backbone=dict(init_cfg=None))
