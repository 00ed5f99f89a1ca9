# Tests a checkpoint of vit_s_imagenet.py on ImageNet-A (Table 4), see _base_/datasets/imagenet_variants.py
_base_ = ['./vit_s_imagenet.py', '../_base_/datasets/imagenet_variants.py']
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.some_classes,
        dataset=dict(**_base_.imagenet_a, pipeline=[*_base_.test_images, _base_.pack])))
test_evaluator = dict(type='lbbt_mm.ClassSubsetAccuracy')
