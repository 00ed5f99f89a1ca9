# Tables 1 and 8 of the LBBT paper, and 0% in its Figure 3: the bridge on CIFAR-10 with true labels
_base_ = './bridge_gpt2_medium_cifar10.py'
_base_.train_dataloader.dataset.pipeline[0].ratio = 0.
