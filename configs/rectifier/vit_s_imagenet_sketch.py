# Tests a checkpoint of vit_s_imagenet.py on ImageNet-Sketch (Table 4), folders of ImageNet's classes under LBBT_DATA_ROOT
_base_ = './vit_s_imagenet.py'
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root='{{$LBBT_DATA_ROOT:data/imagenet_sketch}}',
        pipeline=[*_base_.test_images, _base_.pack]))
