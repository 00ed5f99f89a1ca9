"""Accuracy among those of a model's classes that a data set has, as ImageNet-A and ImageNet-R are scored."""
from typing import Dict, List, Optional, Sequence, Union

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from lbbt_mm.argument_checks import read_counts
from lbbt_mm.registry import METRICS


@METRICS.register_module()
class ClassSubsetAccuracy(BaseMetric):
    """Top-k accuracy in percent, with the model's scores restricted to the classes of :class:`lbbt_mm.ClassSubset`.

    So the authors of ImageNet-A and ImageNet-R evaluate (arXiv 1907.07174 and 2006.16241): a classifier of 1,000 classes is
    asked which of the 200 it is. Where a folder has images of several classes, as in ObjectNet, the highest of their scores
    is the folder's. mmpretrain's ``Accuracy`` beside it counts among all classes.

    Args:
        topk: How many of the best count, one number or several, each at least 1. Defaults to (1, ).
        collect_device: Where ranks collect results, ``'cpu'`` or ``'gpu'``.
        prefix: Prefix of the names; ``None`` takes ``'accuracy'``.

    Raises:
        ValueError: If a number is not whole and at least 1.
    """

    default_prefix: Optional[str] = 'accuracy'

    def __init__(self, topk: Union[int, Sequence[int]] = (1, ), collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = read_counts('ClassSubsetAccuracy: topk', topk)

    @property
    def dataset_meta(self) -> Optional[dict]:
        """What the data set says of itself: all ``classes``, and the ``class_groups`` that occur."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: Optional[dict]) -> None:
        """Take what the data set says, before anything is run.

        Raises:
            ValueError: If the data set is no subset, or has fewer classes than are to count.
        """
        self._dataset_meta = dataset_meta
        groups = (dataset_meta or {}).get('class_groups')
        if not groups:
            raise ValueError('ClassSubsetAccuracy: the data set does not say which classes it has; expected '
                             'lbbt_mm.ClassSubset, or one around it. Wrap the data set in it.')
        if max(self.topk) > len(groups):
            raise ValueError(f'ClassSubsetAccuracy: topk={self.topk}, and the data set has {len(groups)} classes; expected '
                             f'numbers from 1 to {len(groups)}. Correct topk.')
        self._places = {index: number for number, group in enumerate(groups) for index in group}
        widest = max(map(len, groups))  # a class twice in a row is no harm to the highest score
        self._table = torch.tensor([[*group, *group[:1] * (widest - len(group))] for group in groups])

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        """Find the place of the true class among those of the data set.

        Args:
            data_batch: Not used.
            data_samples: With ``pred_score`` (C, ) over all classes of the model, and ``gt_label``.

        Raises:
            ValueError: If the model has other classes.
        """
        expected = len(self.dataset_meta['classes'])
        for sample in data_samples:
            scores = sample['pred_score'].float().cpu()
            if len(scores) != expected:
                raise ValueError(f'ClassSubsetAccuracy: the model gives {len(scores)} scores, and classes of the data set '
                                 f'names {expected}; expected the same classes. Correct classes, or choose another model.')
            self.results.append(_rank(scores[self._table].amax(dim=1), self._places[int(sample['gt_label'])]))

    def compute_metrics(self, results: List[int]) -> Dict[str, float]:
        """Average over the samples.

        Args:
            results: Of each sample, how many classes come before the true one.

        Returns:
            dict[str, float]: ``'top<k>'`` -> per cent.
        """
        ranks = torch.tensor(results)
        return {f'top{k}': (ranks < k).double().mean().item() * 100 for k in self.topk}


def _rank(scores: Tensor, true: int) -> int:
    """How many classes come before the true one; of equal ones those that are listed before it. NaN is right nowhere."""
    if scores.isnan().any():
        return len(scores)
    return int((scores > scores[true]).sum() + (scores[:true] == scores[true]).sum())
