# Tests a checkpoint of vit_s_imagenet.py on one corruption of ImageNet-C (Table 4), such as data/imagenet_c/fog/3 under
# LBBT_DATA_ROOT; its images are 224x224 already. The published number is the mean over 15 corruptions and 5 severities
_base_ = './vit_s_imagenet.py'
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root='{{$LBBT_DATA_ROOT:data/imagenet_c/fog/3}}',
        pipeline=[_base_.load, _base_.pack]))
