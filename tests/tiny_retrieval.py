"""Rankings in miniature, for the metrics of image retrieval."""
from typing import Dict, Sequence, Tuple

import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.structures import DataSample
from torch import Tensor


def evaluate(metric: BaseMetric, queries: Sequence[Tuple]) -> Dict[str, float]:
    """What an evaluator makes of pairs (similarities to the gallery, indices of the relevant images)."""
    for scores, relevant in queries:
        sample = DataSample().set_pred_score(torch.as_tensor(scores))
        sample.set_gt_label(torch.as_tensor(relevant, dtype=torch.long))
        metric.process([], [sample.to_dict()])
    return metric.evaluate(len(queries))


def draw(queries: int, gallery: int, most: int) -> Tuple[Tensor, Tensor]:
    """Similarities without ties, and gains from 0 to ``most``, each (queries, gallery)."""
    scores = torch.stack([torch.randperm(gallery) for _ in range(queries)]).float()
    return scores, torch.randint(0, most + 1, (queries, gallery)).float()
