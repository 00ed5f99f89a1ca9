# Table 2 of the LBBT paper: 15% of the training labels of CIFAR-100 are random, the others true
_base_ = './bridge_gpt2_medium_cifar100.py'
train_dataloader = dict(
    dataset=dict(pipeline=[dict(_base_.random_label, ratio=0.15), *_base_.images, _base_.pack_labels]))
