# Tests a checkpoint of vit_s_imagenet.py on ImageNet-R (Table 4), as vit_s_imagenet_a.py does on ImageNet-A
_base_ = './vit_s_imagenet_a.py'
test_dataloader = dict(dataset=dict(dataset=_base_.imagenet_r))
