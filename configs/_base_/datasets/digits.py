# scikit-learn's handwritten digits as tools/dataset_converters/digits_to_imagefolder.py writes them: 8x8 pixels
_base_ = './imagefolder.py'
num_classes = 10
data_preprocessor = dict(num_classes=num_classes)
images = [_base_.load]
dataset = dict(pipeline=[*images, _base_.pack])
train_dataloader = dict(dataset=dataset)
val_dataloader = test_dataloader = dict(batch_size=199, dataset=dataset)
random_label = dict(num_classes=num_classes)
