# scikit-learn's handwritten digits as tools/dataset_converters/digits_to_imagefolder.py writes them: 8x8 pixels
_base_ = './imagefolder.py'
pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = dict(batch_size=199, dataset=dict(pipeline=pipeline))
test_dataloader = dict(batch_size=199, dataset=dict(pipeline=pipeline))
