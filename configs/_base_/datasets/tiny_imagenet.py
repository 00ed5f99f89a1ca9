# TinyImageNet-200, its 64 x 64 pixels resized to 224 x 224, with its validation images as test/CLASS/, as
# tools/dataset_converters/tiny_imagenet_to_imagefolder.py writes them
_base_ = './imagefolder.py'
data_root = '{{$LBBT_DATA_ROOT:data/tiny_imagenet}}'
num_classes = 200
data_preprocessor = dict(num_classes=num_classes, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
images = [_base_.load, _base_.resize]
dataset = dict(data_root=data_root, pipeline=[*images, _base_.pack])
train_dataloader = dict(batch_size=64, num_workers=4, dataset=dataset)
val_dataloader = test_dataloader = dict(batch_size=128, num_workers=4, dataset=dataset)
random_label = dict(num_classes=num_classes, data_root=data_root)
