# ImageNet-1K with random labels: each training image keeps its label for good and is only resized, since memorising is
# the task. At each evaluation, train/accuracy/top1 is of the random labels and test/accuracy/top1 of the true ones
_base_ = './imagenet.py'
train_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='lbbt_mm.RandomLabel', num_classes=_base_.num_classes, ratio=1.0, seed=0, data_root=_base_.data_root),
        *_base_.pipeline[:-1],
        dict(type='PackInputs', meta_keys=('sample_idx', 'img_path', 'true_label', 'label_is_random'))
    ]))
val_cfg = dict(type='lbbt_mm.BridgeValLoop', num_train_samples=10000)
test_cfg = dict()
