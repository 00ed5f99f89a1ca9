# segmenter_gpt2_pascal_context.py without the background: 59 classes, pixels of none of them are ignored
_base_ = './segmenter_gpt2_pascal_context.py'
model = dict(decode_head=dict(num_classes=59))
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(type='PascalContextDataset59'))
