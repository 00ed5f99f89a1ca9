"""Retrieval metrics: computed for each query as it comes, and averaged over the queries at the end."""
from typing import Dict, List, Optional, Sequence, Union

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from lbbt_mm.argument_checks import read_counts


class RetrievalMetric(BaseMetric):
    """Metric at one or several cut-offs of a ranked gallery, in percent.

    A query's data sample holds ``pred_score`` (M,), its similarity to each gallery image, and either ``gt_score`` (M,),
    the gain of each, or ``gt_label``, the indices of the relevant ones: mmpretrain's convention for ``RetrievalRecall``
    and ``RetrievalAveragePrecision``, which can stand in the same evaluator. :class:`RetrievalQueries` supplies the
    indices for a classification dataset.

    Args:
        topk: Cut-off or cut-offs, each at least 1.
        collect_device: Where ranks collect results, ``'cpu'`` or ``'gpu'``.
        prefix: Prefix of the names; ``None`` takes ``'retrieval'``.

    Raises:
        ValueError: If a cut-off is not a whole number of at least 1.
    """

    default_prefix: Optional[str] = 'retrieval'
    #: Name of the metric in the results, before ``@k``
    label: str

    def __init__(self, topk: Union[int, Sequence[int]], collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = read_counts(f'{type(self).__name__}: topk', topk)

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        """Score each query at once: similarities to a whole gallery are too large to keep.

        Args:
            data_batch: Not used.
            data_samples: Queries with their similarities and relevant gallery images.
        """
        for sample in data_samples:
            scores = sample['pred_score'].float()
            self.results.append(self.at_cutoffs(scores[None], _gains(sample, scores)[None])[0].cpu())

    def compute_metrics(self, results: List[Tensor]) -> Dict[str, float]:
        """Average over the queries.

        Args:
            results: A tensor (len(topk),) for each query.

        Returns:
            dict[str, float]: ``'<label>@<k>'`` -> mean in percent.
        """
        means = torch.stack(results).double().mean(0) * 100
        return {f'{self.label}@{k}': mean.item() for k, mean in zip(self.topk, means)}

    def at_cutoffs(self, scores: Tensor, gains: Tensor) -> Tensor:
        """The metric of each query at each cut-off, see :meth:`at_depths`: values (N, len(topk))."""
        values = self.at_depths(scores, gains)
        return values[:, [min(k, values.shape[1]) - 1 for k in self.topk]]

    def at_depths(self, scores: Tensor, gains: Tensor) -> Tensor:
        """The metric of each query, of its first image, first two, and so on.

        Args:
            scores: Similarities (N, M).
            gains: Relevance of each gallery image (N, M); 0 is irrelevant.

        Returns:
            Tensor: Values between 0 and 1, of shape (N, min(max(topk), M)).
        """
        raise NotImplementedError


def ranked_gains(scores: Tensor, gains: Tensor, depth: int) -> Tensor:
    """Gains in the order of falling similarity.

    Args:
        scores: Similarities (N, M).
        gains: Relevance (N, M).
        depth: How many to keep; a smaller gallery gives fewer.

    Returns:
        Tensor: Gains (N, min(depth, M)).
    """
    order = scores.topk(min(depth, scores.shape[1]), dim=1).indices
    return gains.gather(1, order)


def _gains(sample: dict, scores: Tensor) -> Tensor:
    if 'gt_score' in sample:
        return sample['gt_score'].to(scores)
    relevant = sample['gt_label'].to(scores.device)
    if len(relevant) and relevant.max() >= len(scores):
        raise ValueError(f'A query has the relevant image {int(relevant.max())}, but the gallery has {len(scores)} images. '
                         "Give lbbt_mm.RetrievalQueries the gallery that the retriever's prototype has.")
    return torch.zeros_like(scores).index_fill_(0, relevant, 1)
