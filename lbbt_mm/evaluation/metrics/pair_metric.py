"""What metrics of image-text pairs share: the embeddings of all pairs, in the order of the data set."""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor


class PairMetric(BaseMetric):
    """Metric over the embeddings of all pairs, which :class:`lbbt_mm.ShareLock` predicts for features of pairs.

    Args:
        collect_device: Where ranks collect results, ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix: Prefix of the names; ``None`` takes ``'pair'``.
    """

    default_prefix: Optional[str] = 'pair'
    #: What is kept of a data sample besides its embeddings.
    kept: Sequence[str] = ('image_key', )

    def __init__(self, collect_device: str = 'cpu', prefix: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep a batch.

        Args:
            data_batch: Not used.
            data_samples: Each with ``image_embedding`` and ``text_embedding`` ``(D,)``, and with :attr:`kept`.

        Raises:
            ValueError: If one lacks any of these.
        """
        names = 'image_embedding', 'text_embedding'
        absent = next((name for name in (*names, *self.kept) for sample in data_samples if name not in sample), None)
        if absent:
            raise ValueError(f'{type(self).__name__}: a data sample has no {absent}; expected predictions for pairs of '
                             'features. Evaluate lbbt_mm.ShareLock on lbbt_mm.FeaturePairs with its data samples.')
        # arrays: a part of a tensor is pickled with all of it when ranks collect
        parts = [torch.stack([sample[name] for sample in data_samples]).float().cpu().numpy() for name in names]
        for sample, image, text in zip(data_samples, *parts):
            self.results.append(dict(image=image, text=text, **{name: sample[name] for name in self.kept}))


def embeddings_of(results: List[Dict[str, Any]]) -> Tuple[Tensor, Tensor]:
    """Embeddings of all images and of all texts, each ``(N, D)``."""
    image, text = (torch.stack([torch.from_numpy(result[name]) for result in results]) for name in ('image', 'text'))
    return image, text
