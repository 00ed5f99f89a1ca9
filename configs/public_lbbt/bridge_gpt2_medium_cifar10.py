# CIFAR-10: labels are never the true one; crops and flips
_base_ = ['_base_/bridge.py', '../_base_/datasets/cifar10.py', '../_base_/language/gpt2_medium.py']
model = dict(backbone=dict(language=_base_.language), head=dict(num_classes=_base_.num_classes))
labels = dict(_base_.random_label, exclude_true=True)
train_dataloader = dict(dataset=dict(pipeline=[labels, _base_.crop, _base_.flip, _base_.pack_labels]))
# Train-acc1 is of whole images
val_cfg = dict(
    train_dataloader=dict(
        _base_.val_dataloader,
        dataset=dict(
            type='lbbt_mm.EvenSubset',
            num_samples=10000,
            dataset=dict(_base_.train_dataloader.dataset, pipeline=[labels, *_base_.images, _base_.pack_labels]))))
