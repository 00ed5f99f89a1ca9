# imagenet_llama3_8b.py on ImageNet-A, folders of 200 of ImageNet's classes under LBBT_DATA_ROOT, scored among these alone.
# LBBT_IMAGENET_CLASSES has the order of all: ImageNet's train folder, or a file with a class a line such as its
# LOC_synset_mapping.txt
_base_ = './imagenet_llama3_8b.py'
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lbbt_mm.ClassSubset',
        classes='{{$LBBT_IMAGENET_CLASSES:data/imagenet/train}}',
        dataset=dict(
            type='CustomDataset', data_root='{{$LBBT_DATA_ROOT:data/imagenet_a}}', pipeline=_base_.test_images)))
test_evaluator = dict(type='lbbt_mm.ClassSubsetAccuracy')
