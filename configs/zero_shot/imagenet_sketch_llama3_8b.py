# imagenet_llama3_8b.py on ImageNet-Sketch, folders of ImageNet's classes under LBBT_DATA_ROOT
_base_ = './imagenet_llama3_8b.py'
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root='{{$LBBT_DATA_ROOT:data/imagenet_sketch}}',
        pipeline=_base_.test_images))
