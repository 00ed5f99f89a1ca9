# The rectifier paper's Table 4, ViT-B on ImageNet-1K: the plain model, on 8 GPUs
_base_ = ['../_base_/deit_300e.py', '../_base_/datasets/imagenet_augmented.py']
model = dict(backbone=dict(arch='deit-base'), head=dict(num_classes=_base_.num_classes, in_channels=768))
train_dataloader = dict(batch_size=128)
val_evaluator = test_evaluator = dict(topk=(1, 5))
