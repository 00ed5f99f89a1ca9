# What the data sets of classification have in common. Each of them adds its root, classes, colours, and `images`: the steps
# that load and resize one. Training images with random labels pass [random_label, *images, pack_labels], all others
# [*images, pack]
load = dict(type='LoadImageFromFile')
resize = dict(type='Resize', scale=(224, 224), interpolation='bicubic')
random_label = dict(type='lbbt_mm.RandomLabel', ratio=1.0, seed=0)
pack = dict(type='PackInputs')
pack_labels = dict(type='PackInputs', meta_keys=('sample_idx', 'img_path', 'true_label', 'label_is_random'))
train_dataloader = dict(
    batch_size=64, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = test_dataloader = dict(
    batch_size=128, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1, ))
