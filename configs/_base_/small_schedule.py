# Small runs on a CPU: bfloat16 autocast, AdamW
optim_wrapper = dict(
    type='lbbt_mm.AutocastOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0))
auto_scale_lr = dict(base_batch_size=32)
