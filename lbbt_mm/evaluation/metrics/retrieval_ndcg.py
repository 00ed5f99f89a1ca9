"""Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002)."""
from typing import Optional, Sequence, Union

import torch
from torch import Tensor

from lbbt_mm.registry import METRICS
from .retrieval_metric import RetrievalMetric, ranked_gains


@METRICS.register_module()
class RetrievalNDCG(RetrievalMetric):
    r"""NDCG@k of image retrieval, in percent.

    A relevant image at rank :math:`i = 1, 2, ...` counts :math:`1 / \log_2(i + 1)`. The sum over the first k is divided by
    that of the best order of the gallery (as in ``sklearn.metrics.ndcg_score``, except for ties). A query without a
    relevant image scores 0.

    Args:
        topk: Cut-off or cut-offs.
        first_hit: Whether only the first relevant image counts, as if the query had no other: :math:`1 / \log_2(r + 1)`
            for a first hit at rank r. Named ``FirstHitNDCG@k``. Only this reading fits Table 11 of the LBBT paper: with
            50 or more relevant images NDCG@5 is a weighted mean of how often each of the ranks 1 to 5 is relevant, and
            81.3 cannot follow from its own 72.1 at rank 1 and 71.7 over ranks 1 to 5.
        collect_device: Where ranks collect results, ``'cpu'`` or ``'gpu'``.
        prefix: Prefix of the names; ``None`` takes ``'retrieval'``.

    Raises:
        ValueError: If a cut-off is not a whole number of at least 1.
    """

    def __init__(self, topk: Union[int, Sequence[int]], first_hit: bool = False, collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(topk, collect_device=collect_device, prefix=prefix)
        self.first_hit = first_hit
        self.label = 'FirstHitNDCG' if first_hit else 'NDCG'

    def at_depths(self, scores: Tensor, gains: Tensor) -> Tensor:
        """NDCG of each query: similarities and gains (N, M) to values (N, depth)."""
        found, ideal = (ranked_gains(order, gains, max(self.topk)) for order in (scores, gains))
        discounts = 1 / torch.log2(torch.arange(2, found.shape[1] + 2, dtype=gains.dtype, device=gains.device))
        if self.first_hit:
            hits = found > 0
            return ((hits & (hits.cumsum(1) == 1)) * discounts).cumsum(1)
        best = (ideal * discounts).cumsum(1)
        return (found * discounts).cumsum(1) / best.where(best > 0, torch.ones_like(best))
