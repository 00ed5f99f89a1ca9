# DINOv2-L/14 and Llama-3-8B, tied on the 563k pairs of CC3M that LLaVA was pretrained with. The seed's ablations are keys:
# depth model.text_projection.num_layers, width model.text_projection.hidden_channels, one linear map (as LiT has)
# model.text_projection.num_layers=1; another vision encoder FeaturePairs.image_store, FeaturePairs.image_expected.model and
# model.text_projection.out_channels. The other direction is sharelock_vision_to_text_llama3_8b_cc3m.py
_base_ = '../_base_/sharelock.py'
features = '{{$LBBT_DATA_ROOT:data/cc3m_llava}}/features/'
model = dict(text_projection=dict(in_channels=4096, out_channels=1024))
stores = dict(
    image_store=features + 'dinov2_l14',
    text_store=features + 'llama3_8b',
    image_expected=dict(model='dinov2_l14', pooling='class'),
    text_expected=dict(model='meta-llama/Meta-Llama-3-8B', layer=-1, pooling='last'))
train_dataloader = val_dataloader = test_dataloader = dict(dataset=stores)
