"""What a validation or a test measures: settings of its metrics, and what is chosen or stopped by them."""
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

from mmengine.config import Config

from lbbt_mm.config_keys import get_key, parts_at, walk
from lbbt_mm.registry import type_name
from .datasets import find_evaluators
from .values import did_you_mean

_COCO_METRICS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
#: By class and by setting: the names that it takes
_NAMES = {
    'CocoMetric': dict(metric=['bbox', 'segm', 'proposal', 'proposal_fast'],
                       metric_items=[*_COCO_METRICS, 'AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000']),
    'IoUMetric': dict(iou_metrics=['mIoU', 'mDice', 'mFscore']),
}
#: Metrics of image-text pairs: what each gives; None where cut-offs say it
_OF_PAIRS = dict(PairLoss=['loss'], PairRetrieval=None, PairTest=['text_score', 'image_score', 'group_score'])
#: Metrics of ranked galleries at cut-offs: what each is called in front of them
_OF_GALLERIES = dict(RetrievalNDCG='NDCG', RetrievalPrecision='Precision')
#: By class: where it writes predictions that are not scored
_OUTPUTS = dict(CocoMetric='outfile_prefix', IoUMetric='output_dir', CityscapesMetric='output_dir')
_WATCHING = ('ReduceOnPlateauLR', 'ReduceOnPlateauMomentum', 'ReduceOnPlateauParamScheduler', 'EarlyStoppingHook')


def check_metrics(cfg: Config, loaders: Sequence[str]) -> None:
    """Refuse settings of evaluators that fail after the first validation, and watching what it does not measure.

    Of the latter mmengine says so after the first validation, or only warns and never stops.

    Args:
        cfg: The run's config.
        loaders: The data loaders that the run uses.

    Raises:
        ValueError: Names the setting and what is known.
    """
    for loader in loaders:
        for where, evaluator in find_evaluators(cfg, loader):
            _check_evaluator(where, evaluator, cfg.get('model'))
    measured = _measured(cfg)
    if 'val_dataloader' in loaders and cfg.get('val_dataloader') is not None and measured:
        for where, name in _watched(cfg):
            if name not in measured:
                _refuse(where, name, measured, 'auto or ' if where.endswith('save_best') else '')


def _check_evaluator(where: str, evaluator: Mapping, model: Any) -> None:
    kind = type_name(evaluator)
    for key, known in _NAMES.get(kind, {}).items():
        for name in _listed(evaluator.get(key)):
            if name not in known:
                _refuse(f'{where}.{key}', name, known)
    output = _OUTPUTS.get(kind)
    if output and evaluator.get('format_only') and not evaluator.get(output):
        raise ValueError(f'{where}.format_only=True: predictions are written and not scored, and {output} does not say '
                         f'where. Set {where}.{output}.')
    classes, tops = get_key(model, 'head.num_classes'), _listed(evaluator.get('topk', ()))
    if kind == 'Accuracy' and isinstance(classes, int) and any(isinstance(top, int) and top > classes for top in tops):
        raise ValueError(f'{where}.topk={evaluator["topk"]!r}: the head has {classes} classes; expected numbers from 1 to '
                         f'{classes}. Correct it, for example topk=(1, ).')
    if kind == 'CocoMetric' and 'segm' in _listed(evaluator.get('metric')) and not _has_masks(model):
        raise ValueError(f"{where}.metric={evaluator['metric']!r}: the model has no part that predicts masks; expected "
                         "'bbox'. Correct it, or give the model a mask head.")


def _has_masks(model: Any) -> bool:
    """Whether any part of a detector, by its key or its type, is of masks; a part of a name of one's own may be."""
    named = ' '.join([str(key) for key, _ in walk(model)] + [type_name(part) for _, part in walk(model)]).lower()
    return any(word in named for word in ('mask', 'segm', 'panoptic', 'solo', 'ins', 'yolact', 'sem')) or not model


def _watched(cfg: Config) -> Iterator[Tuple[str, str]]:
    """What chooses the best checkpoint, changes a schedule or stops the training: its key, and the metric."""
    key = 'default_hooks.checkpoint.save_best'
    yield from ((key, name) for name in _listed(get_key(cfg, key)) if name != 'auto')
    if type_name(cfg.get('val_cfg')) == 'BridgeValLoop':
        return
    for where, part in (*parts_at(cfg, 'param_scheduler'), *parts_at(cfg, 'custom_hooks')):
        if type_name(part) in _WATCHING and isinstance(part.get('monitor'), str) and part['monitor'] != 'loss':
            yield f'{where}.monitor', part['monitor']


def _measured(cfg: Config) -> List[str]:
    """Names of all metrics of the validation; empty where one of its evaluators is not known."""
    found = [_metrics_of(evaluator) for _, evaluator in find_evaluators(cfg, 'val_dataloader')]
    names = list(dict.fromkeys(name for metrics in found for name in metrics)) if all(found) else []
    if type_name(cfg.get('val_cfg')) == 'BridgeValLoop':
        names = [f'{split}/{name}' for split in ('train', 'test') for name in names]
    return names


def _metrics_of(evaluator: Mapping) -> List[str]:
    kind, prefix = type_name(evaluator), evaluator.get('prefix')
    of_classes = kind in ('Accuracy', 'ClassSubsetAccuracy')
    if of_classes and evaluator.get('thrs', 0.) in (0., [0.], (0., )):  # others go into the names
        return [f'{prefix or "accuracy"}/top{top}' for top in _listed(evaluator.get('topk', 1))]
    if kind == 'CocoMetric' and not (evaluator.get('classwise') or evaluator.get('metric_items')
                                     or 'proposal' in str(evaluator.get('metric'))):
        return [f'{prefix or "coco"}/{one}_{part}' for one in _listed(evaluator.get('metric', 'bbox'))
                for part in _COCO_METRICS]
    if kind in _OF_PAIRS:
        tops = _listed(evaluator.get('topk', (1, 5, 10)))
        recalls = [f'{way}_R@{k}' for way in ('image_to_text', 'text_to_image') for k in tops]
        return [f'{prefix or "pair"}/{name}' for name in _OF_PAIRS[kind] or recalls]
    if kind in _OF_GALLERIES:
        first = 'FirstHit' if evaluator.get('first_hit') else ''
        return [f'{prefix or "retrieval"}/{first}{_OF_GALLERIES[kind]}@{k}' for k in _listed(evaluator.get('topk'))]
    if kind == 'IoUMetric':
        parts = dict(mIoU=('IoU', 'Acc'), mDice=('Dice', 'Acc'), mFscore=('Fscore', 'Precision', 'Recall'))
        start = f'{prefix}/' if prefix else ''
        return [f'{start}aAcc', *(f'{start}m{part}' for metric in _listed(evaluator.get('iou_metrics', 'mIoU'))
                                  for part in parts.get(metric, ()))]
    return []


def _listed(value: Any) -> Sequence[Any]:
    """One or several as several."""
    return [] if value is None else value if isinstance(value, (list, tuple)) else [value]


def _refuse(where: str, name: str, names: Sequence[str], more: str = '') -> None:
    raise ValueError(f'{where}={name!r}: the validation has no such metric; expected {more}one of {", ".join(names[:12])}.'
                     f'{did_you_mean(str(name), names, 0.3)}')
