# Tests a checkpoint of sharelock_llama3_8b_cc3m.py on ImageNet-1K's validation images, LBBT_DATA_ROOT: CLIP's names of the
# classes in its 80 templates (pip install --no-deps clip-benchmark). The paper has one template, as has
# model.zero_shot.templates='A photo of a {}'
_base_ = ['./sharelock_llama3_8b_cc3m.py', '../_base_/vision/dinov2_l14_images.py']
model = dict(
    vision=dict(backbone=_base_.vision_backbone, pooling='class'),
    text=dict(location='meta-llama/Meta-Llama-3-8B', layer=-1, pooling='last'),
    zero_shot=dict(
        classes='clip-benchmark:imagenet1k', templates='clip-benchmark:imagenet1k', cache='work_dirs/zero_shot_classes'))
test_dataloader = dict(
    _delete_=True,
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ImageNet', data_root='{{$LBBT_DATA_ROOT:data/imagenet}}', split='val', pipeline=_base_.test_images))
test_evaluator = dict(_delete_=True, type='Accuracy', topk=(1, 5))
