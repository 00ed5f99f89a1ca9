# Tables 1 and 8 of the LBBT paper, and 0% in its Figure 3: the bridge on CIFAR-10 with true labels
_base_ = './bridge_gpt2_medium_cifar10.py'
train_dataloader = dict(
    dataset=dict(pipeline=[dict(_base_.random_label, ratio=0.), *_base_.images, _base_.pack_labels]))
