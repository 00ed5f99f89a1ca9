# Table 1 of the LBBT paper: as classify_gpt2_medium_cifar10.py with Llama-3.2-1B
_base_ = ['_base_/bridge_400e.py', '_base_/datasets/cifar10_random_labels.py', '_base_/language/llama3_2_1b.py']
_base_.train_dataloader.dataset.pipeline[0].ratio = 0.
model = dict(
    backbone=dict(language=dict(blocks=None, arm='language', seed=0, **_base_.language)),
    head=dict(num_classes=_base_.num_classes))
