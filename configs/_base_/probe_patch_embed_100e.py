# As probe_100e.py, and a new patch embedding trains with the linear layer, in front of the frozen blocks of the bridge
_base_ = './probe_100e.py'
model = dict(backbone=dict(init_cfg=dict(leave_out=['patch_embed'])))
default_hooks = dict(partial_freeze=dict(also=('neck', 'head', 'backbone.patch_embed')))
