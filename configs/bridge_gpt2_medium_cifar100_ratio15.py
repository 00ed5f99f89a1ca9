# Table 2 of the LBBT paper: 15% of the training labels of CIFAR-100 are random, the others true
_base_ = './bridge_gpt2_medium_cifar100.py'
_base_.train_dataloader.dataset.pipeline[0].ratio = 0.15
