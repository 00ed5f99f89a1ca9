# Tests a checkpoint of vit_s_imagenet.py on ImageNet-Sketch (Table 4), folders of ImageNet's classes under LBBT_DATA_ROOT
_base_ = ['./vit_s_imagenet.py', '../_base_/datasets/imagenet_variants.py']
test_dataloader = dict(
    dataset=dict(_delete_=True, **_base_.imagenet_sketch, pipeline=[*_base_.test_images, _base_.pack]))
