# Caltech-256 without its class of clutter, as tools/dataset_converters/caltech256_to_imagefolder.py writes it: images of any
# size and shape, resized to 224 x 224
_base_ = './imagefolder.py'
data_root = '{{$LBBT_DATA_ROOT:data/caltech256}}'
num_classes = 256
data_preprocessor = dict(num_classes=num_classes, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
images = [_base_.load, _base_.resize]
dataset = dict(data_root=data_root, pipeline=[*images, _base_.pack])
train_dataloader = dict(batch_size=256, num_workers=4, dataset=dataset)
val_dataloader = test_dataloader = dict(batch_size=128, num_workers=4, dataset=dataset)
random_label = dict(num_classes=num_classes, data_root=data_root)
