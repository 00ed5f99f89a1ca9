# CIFAR-10: its arrays of 32 x 32 are RGB already
_base_ = './classification.py'
data_root = '{{$LBBT_DATA_ROOT:data/cifar10}}'
num_classes = 10
data_preprocessor = dict(
    num_classes=num_classes, mean=[125.307, 122.961, 113.8575], std=[51.5865, 50.847, 51.255], to_rgb=False)
images = [_base_.resize]
dataset = dict(type='CIFAR10', data_root=data_root, pipeline=[*images, _base_.pack])
train_dataloader = dict(dataset=dict(**dataset, split='train'))
val_dataloader = test_dataloader = dict(dataset=dict(**dataset, split='test'))
random_label = dict(num_classes=num_classes, key='sample_idx')
