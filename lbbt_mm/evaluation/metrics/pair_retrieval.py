"""Retrieval of texts by images and of images by texts."""
from typing import Any, Dict, List, Optional, Sequence, Union

import torch
from torch import Tensor

from lbbt_mm.argument_checks import read_counts
from lbbt_mm.registry import METRICS
from .pair_metric import PairMetric, embeddings_of

_ROWS = 1024


@METRICS.register_module()
class PairRetrieval(PairMetric):
    """Recall@k both ways, in percent: ``pair/image_to_text_R@k`` and ``pair/text_to_image_R@k``.

    The data set has a sample for each caption (``captions='all'`` of :class:`lbbt_mm.FeaturePairs`). An image has found its
    text if one of its captions is among the first k, as is usual on COCO and Flickr30k; a caption, if its image is. Others
    that are just as similar count as better: a model that embeds everything in one place finds nothing.

    Args:
        topk: Cut-off or cut-offs. Defaults to (1, 5, 10).
        collect_device: Where ranks collect results, ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix: Prefix of the names; ``None`` takes ``'pair'``.

    Raises:
        ValueError: If a cut-off is not a whole number of at least 1.
    """

    def __init__(self, topk: Union[int, Sequence[int]] = (1, 5, 10), collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(collect_device, prefix)
        self.topk = read_counts('PairRetrieval: topk', topk)

    def compute_metrics(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Over all images and texts.

        Args:
            results: One for each caption.

        Returns:
            dict[str, float]: Each way, each cut-off.
        """
        images, texts = embeddings_of(results)
        first: Dict[Any, int] = {}
        for row, result in enumerate(results):
            first.setdefault(result['image_key'], row)
        number = {key: place for place, key in enumerate(first)}
        owners = torch.tensor([number[result['image_key']] for result in results])
        images = images[list(first.values())]
        ranks = dict(image_to_text=better_than_own(images, texts, torch.arange(len(images)), owners),
                     text_to_image=better_than_own(texts, images, owners, torch.arange(len(images))))
        return {f'{way}_R@{k}': (found < k).double().mean().item() * 100 for way, found in ranks.items() for k in self.topk}


def better_than_own(queries: Tensor, gallery: Tensor, of_queries: Tensor, of_gallery: Tensor) -> Tensor:
    """How many of a gallery that are not a query's own are at least as similar to it as the best of its own.

    Args:
        queries: Of unit length, ``(N, D)``.
        gallery: Of unit length, ``(M, D)``.
        of_queries: What each query is of, ``(N,)``.
        of_gallery: What each of the gallery is of, ``(M,)``; its own are those of the same.

    Returns:
        Tensor: ``(N,)``, 0 for a query that finds its own first.
    """
    counts = []
    for rows, own in zip(queries.split(_ROWS), of_queries.split(_ROWS)):
        similar = rows @ gallery.t()
        is_own = own[:, None] == of_gallery
        best = similar.masked_fill(~is_own, -torch.inf).amax(1, keepdim=True)
        counts.append((~is_own & (similar >= best)).sum(1))
    return torch.cat(counts)
