# LBBT stage 2, the other way: everything trains on the true labels, from the backbone of bridge_gpt2_imagefolder.py
_base_ = './probe_gpt2_imagefolder.py'
model = dict(neck=None)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
default_hooks = dict(partial_freeze=dict(trainable='all', also=None))
