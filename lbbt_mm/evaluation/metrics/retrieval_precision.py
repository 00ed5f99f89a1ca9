"""Precision among the first k of a ranked gallery."""
import torch
from torch import Tensor

from lbbt_mm.registry import METRICS
from .retrieval_metric import RetrievalMetric, ranked_gains


@METRICS.register_module()
class RetrievalPrecision(RetrievalMetric):
    """Precision@k of image retrieval: the share of the first k images that is relevant, in percent.

    Pass@k in Table 11 of the LBBT paper is read as this metric: it equals Recall@k at k = 1 and, unlike a share of queries
    with any hit, does not rise with k. For a gallery of fewer than k images, hits are divided by its size.

    Args:
        topk: Cut-off or cut-offs.
        collect_device: Where ranks collect results, ``'cpu'`` or ``'gpu'``.
        prefix: Prefix of the names; ``None`` takes ``'retrieval'``.

    Raises:
        ValueError: If a cut-off is not a whole number of at least 1.
    """

    label = 'Precision'

    def at_depths(self, scores: Tensor, gains: Tensor) -> Tensor:
        """Precision of each query: similarities and gains (N, M) to values (N, depth)."""
        hits = (ranked_gains(scores, gains, max(self.topk)) > 0).to(gains)
        return hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1, dtype=gains.dtype, device=gains.device)
