"""What the validation measures, and what is chosen by it."""
import pytest
from mmengine.config import Config

import lbbt_mm.evaluation
from lbbt_mm.checks.metrics import check_metrics


def check(evaluator, **more) -> None:
    cfg = Config(dict(val_dataloader=dict(), val_evaluator=evaluator, **more))
    check_metrics(cfg, ['train_dataloader', 'val_dataloader'])


def best(name) -> dict:
    return dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best=name)))


@pytest.mark.parametrize('evaluator, good, bad', [
    (dict(type='Accuracy', topk=(1, 5)), ['accuracy/top1', 'accuracy/top5', 'auto'], ['top1', 'accuracy/top3', 'acc']),
    (dict(type='mmdet.CocoMetric', metric='bbox'), ['coco/bbox_mAP', 'coco/bbox_mAP_50'], ['bbox_mAP', 'coco/segm_mAP']),
    (dict(type='IoUMetric', iou_metrics=['mIoU']), ['mIoU', 'aAcc', 'mAcc'], ['miou', 'IoU', 'mDice']),
    (dict(type='lbbt_mm.RetrievalNDCG', topk=(1, 5)), ['retrieval/NDCG@5'], ['NDCG@5', 'retrieval/NDCG@10']),
    (dict(type='lbbt_mm.RetrievalNDCG', topk=5, first_hit=True), ['retrieval/FirstHitNDCG@5'], ['retrieval/NDCG@5']),
])
def test_save_best_has_to_be_a_metric_of_the_validation(evaluator, good, bad):
    for name in (*good, good):
        check(evaluator, **best(name))
    for name in bad:
        with pytest.raises(ValueError, match=rf'save_best={name!r}: the validation has no such metric; expected auto or'):
            check(evaluator, **best(name))


@pytest.mark.parametrize('name', lbbt_mm.evaluation.__all__)
def test_each_metric_of_ours_has_names_that_are_known(name):
    """Of one that has none here, save_best and monitor would go unchecked."""
    with pytest.raises(ValueError, match='the validation has no such metric; expected auto or one of'):
        check(dict(type=f'lbbt_mm.{name}', topk=1), **best('anything'))


def test_of_evaluators_that_are_not_known_nothing_is_said():
    for evaluator in (dict(type='Mine'), [dict(type='Accuracy'), dict(type='Mine')], None):
        check(evaluator, **best('anything'))


def test_a_bridge_s_metrics_are_of_two_splits():
    with pytest.raises(ValueError, match='train/accuracy/top1, test/accuracy/top1'):
        check(dict(type='Accuracy'), val_cfg=dict(type='lbbt_mm.BridgeValLoop'), **best('accuracy/top1'))


COCO = dict(type='CocoMetric', ann_file='x.json', metric='bbox')
IOU = dict(type='IoUMetric', iou_metrics=['mIoU'])


@pytest.mark.parametrize('evaluator, more, message', [
    (dict(COCO, metric_items=['mAPP']), {}, "val_evaluator.metric_items='mAPP'.*Did you mean mAP"),
    (dict(COCO, metric=['bbox', 'segmm']), {}, "val_evaluator.metric='segmm'.*Did you mean segm"),
    ([dict(IOU, iou_metrics=['mIOU'])], {}, "val_evaluator.0.iou_metrics='mIOU'.*Did you mean mIoU"),
    (COCO, dict(param_scheduler=[dict(type='ReduceOnPlateauLR', monitor='coco/bbox_map')]),
     "param_scheduler.0.monitor='coco/bbox_map'.*Did you mean coco/bbox_mAP"),
    (IOU, dict(custom_hooks=[dict(type='EarlyStoppingHook', monitor='miou')]), "custom_hooks.0.monitor='miou'"),
])
def test_what_the_validation_does_not_have(evaluator, more, message):
    with pytest.raises(ValueError, match=message):
        check(evaluator, **more)


@pytest.mark.parametrize('more', [
    dict(param_scheduler=[dict(type='ReduceOnPlateauLR', monitor='coco/bbox_mAP')]),
    dict(param_scheduler=[dict(type='ReduceOnPlateauLR')], custom_hooks=[dict(type='EarlyStoppingHook',
                                                                               monitor='coco/bbox_mAP_50')])])
def test_what_it_has(more):
    check(COCO, **more)


@pytest.mark.parametrize('evaluator, name', [
    (dict(IOU, iou_metrics='mIoU'), 'mIoU'), (dict(type='Accuracy', thrs=(0.1, 0.5)), 'accuracy/top1_thr-0.50')])
def test_a_best_metric_that_is_there(evaluator, name):
    check(evaluator, **best(name))


HEAD = dict(head=dict(num_classes=3))


@pytest.mark.parametrize('evaluator, model, message', [
    (dict(type='Accuracy', topk=(1, 5)), HEAD, r'val_evaluator.topk=\(1, 5\): the head has 3 classes; expected'),
    ([dict(type='mmpretrain.Accuracy', topk=4)], HEAD, 'val_evaluator.0.topk=4: the head has 3 classes'),
    (dict(IOU, format_only=True), {}, 'val_evaluator.format_only=True: .* output_dir does not say where. Set val'),
    (dict(COCO, format_only=True), {}, 'outfile_prefix does not say where'),
    (dict(COCO, metric=['bbox', 'segm']), dict(type='LanguageDETR', bbox_head=dict(type='DETRHead')),
     r"val_evaluator.metric=\['bbox', 'segm'\]: the model has no part that predicts masks; expected 'bbox'"),
    (dict(COCO, metric='segm'), dict(type='FasterRCNN', roi_head=dict(type='RoIHead')), 'no part that predicts masks'),
])
def test_what_would_fail_after_the_first_validation(evaluator, model, message):
    with pytest.raises(ValueError, match=message):
        check(evaluator, model=model)


@pytest.mark.parametrize('evaluator, model', [
    (dict(type='Accuracy', topk=(1, 3)), HEAD), (dict(type='Accuracy', topk=(1, 5)), dict(head=dict(num_classes=1000))),
    (dict(type='SingleLabelMetric', topk=(1, 5)), HEAD), (dict(IOU, format_only=True, output_dir='out'), {}),
    (dict(COCO, metric='segm'), dict(type='MaskRCNN', roi_head=dict(mask_head=dict(type='FCNMaskHead')))),
    (dict(COCO, metric='segm'), dict(type='RTMDet', bbox_head=dict(type='RTMDetInsSepBNHead')))])
def test_what_it_can_measure(evaluator, model):
    check(evaluator, model=model)
