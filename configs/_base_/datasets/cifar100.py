# CIFAR-100, stored as CIFAR-10 is
_base_ = './cifar10.py'
data_root = '{{$LBBT_DATA_ROOT:data/cifar100}}'
num_classes = 100
data_preprocessor = dict(num_classes=num_classes, mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418])
dataset = dict(type='CIFAR100', data_root=data_root)
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dataset)
random_label = dict(num_classes=num_classes)
