# Table 11 of the LBBT paper: retrieval on TinyImageNet-200 with the features of a bridge, of either arm:
#   python tools/test.py configs/retrieval_gpt2_medium_tiny_imagenet.py work_dirs/BRIDGE/epoch_400.pth
# The paper does not name queries and gallery: here the 10,000 validation images ask, the 100,000 training images answer
_base_ = [
    '_base_/language_classification.py', '_base_/datasets/tiny_imagenet.py', '_base_/language/gpt2_medium.py'
]
gallery = _base_.train_dataloader.dataset
model = dict(
    _delete_=True,
    type='ImageToImageRetriever',
    image_encoder=dict(_base_.model.backbone, language=dict(_base_.model.backbone.language, **_base_.language)),
    prototype=dict(
        batch_size=128,
        num_workers=4,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=gallery))

# The retriever compares element by element: one query takes gallery size x width numbers, 0.4 GB
test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True, type='lbbt_mm.RetrievalQueries', dataset=_base_.test_dataloader.dataset, gallery=gallery))
test_evaluator = [
    dict(type='RetrievalAveragePrecision', topk=100000),
    dict(type='RetrievalRecall', topk=(1, 5)),
    dict(type='lbbt_mm.RetrievalPrecision', topk=(1, 5)),
    dict(type='lbbt_mm.RetrievalNDCG', topk=(1, 5)),
    dict(type='lbbt_mm.RetrievalNDCG', topk=(1, 5), first_hit=True)
]
test_cfg = dict()
train_dataloader = val_dataloader = val_evaluator = None
custom_hooks = [*_base_.custom_hooks, dict(type='lbbt_mm.BridgeEncoderHook')]
