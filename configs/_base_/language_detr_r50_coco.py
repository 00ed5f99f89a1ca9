# LanguageDETR with the backbone, head, data and schedule of mmdet's DETR. What depends on the language model is None.
_base_ = ['mmdet::detr/detr_r50_8xb2-150e_coco.py', './language_runtime.py']
model = dict(
    type='lbbt_mm.LanguageDETR',
    language=dict(encoder_blocks='0:12', decoder_blocks='0:12', arm='language', seed=0),
    norm='pre',
    attn_drop=0.,
    proj_drop=0.1,
    neck=dict(out_channels=None),
    encoder=dict(_delete_=True, num_layers=None),
    decoder=dict(_delete_=True, num_layers=None),
    positional_encoding=dict(num_feats=None),
    bbox_head=dict(embed_dims=None))

data_root = '{{$LBBT_DATA_ROOT:data/coco}}'
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = test_evaluator = dict(ann_file=data_root + '/annotations/instances_val2017.json')
