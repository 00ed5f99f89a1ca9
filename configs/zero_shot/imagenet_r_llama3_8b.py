# imagenet_llama3_8b.py on ImageNet-R, as imagenet_a_llama3_8b.py does on ImageNet-A
_base_ = './imagenet_a_llama3_8b.py'
test_dataloader = dict(dataset=dict(dataset=_base_.imagenet_r))
