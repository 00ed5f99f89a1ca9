# imagenet_llama3_8b.py on ImageNet-Sketch, folders of ImageNet's classes under LBBT_DATA_ROOT
_base_ = ['./imagenet_llama3_8b.py', '../_base_/datasets/imagenet_variants.py']
test_dataloader = dict(dataset=dict(_delete_=True, **_base_.imagenet_sketch, pipeline=_base_.test_images))
