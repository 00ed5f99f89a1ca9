# imagenet_llama3_8b.py on ImageNet-A, see _base_/datasets/imagenet_variants.py
_base_ = ['./imagenet_llama3_8b.py', '../_base_/datasets/imagenet_variants.py']
test_dataloader = dict(
    dataset=dict(_delete_=True, **_base_.some_classes, dataset=dict(**_base_.imagenet_a, pipeline=_base_.test_images)))
test_evaluator = dict(type='lbbt_mm.ClassSubsetAccuracy')
