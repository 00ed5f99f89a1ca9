"""A test of word order and the like: two images, two captions, which belongs to which (Winoground, 2204.03162)."""
from typing import Any, Dict, List, Optional, Tuple

import torch

from lbbt_mm.datasets.captions import read_quadruples
from lbbt_mm.registry import METRICS
from .pair_metric import PairMetric, embeddings_of


@METRICS.register_module()
class PairTest(PairMetric):
    """Text, image and group score of quadruples, in percent: ``pair/text_score``, ``image_score`` and ``group_score``.

    A quadruple counts for the text score if each image is more similar to its own caption than to the other one; for the
    image score if each caption is more similar to its own image; for the group score if both hold (Eqs. 1 to 3). Chance is
    25, 25 and 16.67.

    The features are those of the quadruples' own file: ``tools/precompute_features.py --captions QUADRUPLES`` for images and
    for texts, and :class:`lbbt_mm.FeaturePairs` with ``captions='all'``.

    Args:
        quadruples: The file, ``.csv``, ``.jsonl`` or ``.json``, with ``image_0``, ``caption_0``, ``image_1`` and
            ``caption_1`` in each row, as Winoground's has.
        collect_device: Where ranks collect results, ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix: Prefix of the names; ``None`` takes ``'pair'``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no file of quadruples.
    """

    kept = ('image_key', 'text_row')

    def __init__(self, quadruples: str, collect_device: str = 'cpu', prefix: Optional[str] = None) -> None:
        super().__init__(collect_device, prefix)
        self.quadruples = quadruples
        self._pairs = [pair for quadruple in read_quadruples(quadruples) for pair in quadruple]
        self._rows = _rows_in_store(self._pairs)

    def compute_metrics(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Over all quadruples.

        Args:
            results: One for each caption of the file.

        Returns:
            dict[str, float]: The three scores.

        Raises:
            ValueError: If the pairs that were evaluated are not those of the file.
        """
        by_row = {result['text_row']: result for result in results}
        pairs = [by_row.get(row) for row in self._rows]
        if len(by_row) != len(self._rows) or any(
                found is None or found['image_key'] != image for found, (image, _) in zip(pairs, self._pairs)):
            raise ValueError(f'PairTest: {len(by_row)} pairs were evaluated, and {self.quadruples} has {len(self._rows)}, '
                             'or they are others; expected features of this very file. Make both stores from it with '
                             "tools/precompute_features.py, and set captions='all' of lbbt_mm.FeaturePairs.")
        image, text = (part.unflatten(0, (-1, 2)) for part in embeddings_of(pairs))
        similar = torch.einsum('qid,qtd->qit', image, text)  # of each image to each text
        own, other = similar.diagonal(dim1=1, dim2=2), similar.flip(2).diagonal(dim1=1, dim2=2)
        of_image, of_text = (own > other).all(1), (own > other.flip(1)).all(1)
        scores = dict(text_score=of_image, image_score=of_text, group_score=of_image & of_text)
        return {name: score.double().mean().item() * 100 for name, score in scores.items()}


def _rows_in_store(pairs: List[Tuple[str, str]]) -> List[int]:
    """The row that each pair has in a text store, where the captions of an image stand together."""
    places: Dict[str, List[int]] = {}
    for place, (image, _) in enumerate(pairs):
        places.setdefault(image, []).append(place)
    rows = [0] * len(pairs)
    for row, place in enumerate(place for of_image in places.values() for place in of_image):
        rows[place] = row
    return rows
