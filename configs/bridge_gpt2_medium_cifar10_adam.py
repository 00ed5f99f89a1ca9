# As bridge_gpt2_medium_cifar10.py, the paper read to the letter: Adam, whose weight decay is coupled and far stronger
_base_ = './bridge_gpt2_medium_cifar10.py'
optim_wrapper = dict(optimizer=dict(type='Adam'))
