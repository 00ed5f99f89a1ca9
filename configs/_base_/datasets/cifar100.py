# CIFAR-100 with its true labels; its arrays of 32 x 32, RGB already, are resized to 224 x 224 and nothing else
data_root = '{{$LBBT_DATA_ROOT:data/cifar100}}'
num_classes = 100
data_preprocessor = dict(
    num_classes=num_classes, mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418], to_rgb=False)
pipeline = [dict(type='Resize', scale=(224, 224), interpolation='bicubic'), dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CIFAR100', data_root=data_root, split='train', pipeline=pipeline))
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CIFAR100', data_root=data_root, split='test', pipeline=pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_evaluator = val_evaluator
