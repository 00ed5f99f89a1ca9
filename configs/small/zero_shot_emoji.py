# Tests a checkpoint of sharelock_emoji.py on the test emoji, each of which is a class of its own, by their names in
# LBBT_LANGUAGE (en, zh, de, ar, hi, ja). The language model is named by model.text.location=FILE.gguf
_base_ = './sharelock_emoji.py'
root = '{{$LBBT_DATA_ROOT:data/emoji}}'
model = dict(
    vision=dict(backbone=dict(type='lbbt_mm.EfficientNetLite'), checkpoint='checkpoints/efficientnet_lite0.pth'),
    text=dict(location=None, layer=-1, pooling='last'),
    zero_shot=dict(
        classes=root + '/test_names_{{$LBBT_LANGUAGE:en}}.txt', templates='{}', cache='work_dirs/zero_shot_classes'))
data_preprocessor = dict(mean=[127, 127, 127], std=[128, 128, 128], to_rgb=True)
test_dataloader = dict(
    _delete_=True,
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset',
        data_root=root,
        ann_file='test_labels.txt',
        classes=root + '/test_names_{{$LBBT_LANGUAGE:en}}.txt',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(224, 224), interpolation='bicubic'),
            dict(type='PackInputs')
        ]))
test_evaluator = dict(_delete_=True, type='Accuracy', topk=(1, 5))
