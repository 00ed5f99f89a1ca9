# LBBT stage 2 as its public code has it: a new patch embedding trains with the classifier, in front of the frozen blocks
_base_ = './probe_gpt2_imagefolder.py'
model = dict(backbone=dict(init_cfg=dict(leave_out=['patch_embed'])))
default_hooks = dict(partial_freeze=dict(also=('neck', 'head', 'backbone.patch_embed')))
