# What tests a model of ImageNet's classes on other images of them: folders under LBBT_DATA_ROOT, each without its pipeline.
# ImageNet-A and ImageNet-R have 200 of the classes and are scored among these alone; LBBT_IMAGENET_CLASSES has the order of
# all: ImageNet's train folder, or a file with a class a line such as its LOC_synset_mapping.txt
some_classes = dict(type='lbbt_mm.ClassSubset', classes='{{$LBBT_IMAGENET_CLASSES:data/imagenet/train}}')
imagenet_a = dict(type='CustomDataset', data_root='{{$LBBT_DATA_ROOT:data/imagenet_a}}')
imagenet_r = dict(type='CustomDataset', data_root='{{$LBBT_DATA_ROOT:data/imagenet_r}}')
imagenet_sketch = dict(type='CustomDataset', data_root='{{$LBBT_DATA_ROOT:data/imagenet_sketch}}')
