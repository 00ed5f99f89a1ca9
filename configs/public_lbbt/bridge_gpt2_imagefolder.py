# For a CPU and minutes: what differs from configs/small/bridge_gpt2_imagefolder.py
_base_ = '../small/bridge_gpt2_imagefolder.py'
model = dict(
    backbone=dict(
        attention='causal', out_type='last_token', position='language', final_norm='language', attn_drop=0.1, proj_drop=0.1,
        hidden_drop=0., embed_drop=0.1),
    head=dict(loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')))
crop = dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0), interpolation='bicubic')
flip = dict(type='RandomFlip', prob=0.5)
labels = dict(_base_.random_label, exclude_true=True)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=[labels, _base_.load, crop, flip, _base_.pack_labels])))
# Train-acc1 is of whole images; where the training has another num_samples, this dataset needs the same
val_cfg = dict(
    train_dataloader=dict(
        _base_.val_dataloader,
        dataset=dict(
            _base_.train_dataloader.dataset,
            dataset=dict(
                _base_.train_dataloader.dataset.dataset, pipeline=[labels, *_base_.images, _base_.pack_labels]))))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=5, convert_to_iter_based=True)
]
