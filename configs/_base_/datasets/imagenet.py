# ImageNet-1K, on 6 GPUs
_base_ = './classification.py'
data_root = '{{$LBBT_DATA_ROOT:data/imagenet}}'
num_classes = 1000
data_preprocessor = dict(
    num_classes=num_classes, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
images = [_base_.load, _base_.resize]
dataset = dict(type='ImageNet', data_root=data_root, pipeline=[*images, _base_.pack])
train_dataloader = dict(batch_size=32, dataset=dict(**dataset, split='train'))
val_dataloader = test_dataloader = dict(dataset=dict(**dataset, split='val'))
random_label = dict(num_classes=num_classes, data_root=data_root)
