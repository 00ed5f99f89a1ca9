# ShareLock on features of resnet_imagefolder.py's ResNet, a vision model of one's own, instead of EfficientNet-Lite0's
_base_ = './sharelock_emoji.py'
model = dict(text_projection=dict(out_channels=128))
pairs = dict(image_expected=dict(model='resnet_imagefolder'))
train_dataloader = dict(dataset=pairs)
val_dataloader = test_dataloader = dict(dataset=pairs)
