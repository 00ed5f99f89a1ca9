# BAR, Biased Action Recognition: six actions, as an ImageFolder
_base_ = './imagefolder.py'
data_root = '{{$LBBT_DATA_ROOT:data/bar}}'
num_classes = 6
data_preprocessor = dict(num_classes=num_classes, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
images = [_base_.load, _base_.resize]
dataset = dict(data_root=data_root, pipeline=[*images, _base_.pack])
train_dataloader = dict(batch_size=64, num_workers=4, dataset=dataset)
val_dataloader = test_dataloader = dict(num_workers=4, dataset=dataset)
random_label = dict(num_classes=num_classes, data_root=data_root)
