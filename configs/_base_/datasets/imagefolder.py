# Any ImageFolder under LBBT_DATA_ROOT, train/CLASS/image.jpg and test/CLASS/image.jpg, with LBBT_NUM_CLASSES classes
_base_ = './classification.py'
data_root = '{{$LBBT_DATA_ROOT:data/imagefolder}}'
num_classes = {{'$LBBT_NUM_CLASSES:10'}}
data_preprocessor = dict(
    num_classes=num_classes, mean=[127.5, 127.5, 127.5], std=[63.75, 63.75, 63.75], to_rgb=True)
images = [_base_.load, dict(_base_.resize, scale=(32, 32))]
dataset = dict(type='CustomDataset', data_root=data_root, pipeline=[*images, _base_.pack])
train_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(**dataset, data_prefix='train'))
val_dataloader = test_dataloader = dict(batch_size=100, num_workers=1, dataset=dict(**dataset, data_prefix='test'))
random_label = dict(num_classes=num_classes, data_root=data_root)
