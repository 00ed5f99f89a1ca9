"""The contrastive loss on pairs that are not trained, by which a training can be stopped."""
from typing import Any, Dict, List, Optional

import torch

from lbbt_mm.argument_checks import check_count
from lbbt_mm.registry import METRICS, MODELS
from .pair_metric import PairMetric, embeddings_of


@METRICS.register_module()
class PairLoss(PairMetric):
    """The model's own loss over the pairs of a data set, as ``pair/loss``.

    mmengine's ``EarlyStoppingHook`` and the checkpoint hook's ``save_best`` can follow it. A contrastive loss grows with
    the number of pairs in it, so the pairs are taken in groups, in the order of the data set: neither the loader's
    batches nor the number of ranks count.

    Args:
        group_size: About how many pairs a group has; groups are of equal size but for one pair. Defaults to 1024.
        collect_device: Where ranks collect results, ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix: Prefix of the name; ``None`` takes ``'pair'``.

    Raises:
        ValueError: If ``group_size`` is not a whole number of at least 2.
    """

    kept = ('pair_loss', )

    def __init__(self, group_size: int = 1024, collect_device: str = 'cpu', prefix: Optional[str] = None) -> None:
        super().__init__(collect_device, prefix)
        check_count('PairLoss: group_size', group_size, 2)
        self.group_size = group_size

    def compute_metrics(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """The mean over the pairs.

        Args:
            results: One for each pair.

        Returns:
            dict[str, float]: ``loss``.
        """
        loss = MODELS.build(results[0]['pair_loss'])
        groups = max(1, round(len(results) / self.group_size))
        pairs = [part.tensor_split(groups) for part in embeddings_of(results)]
        with torch.no_grad():
            total = sum(loss(image, text).item() * len(image) for image, text in zip(*pairs))
        return dict(loss=total / len(results))
