"""Accuracy of each way to tell classes apart: trained projections, relative representations, linear probes."""
import argparse
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lbbt_mm.analysis.linear_probe import linear_probe
from lbbt_mm.analysis.mutual_knn import LayerPairs, average, check_samples, clamp_level, nearest_neighbours, prepare
from lbbt_mm.analysis.permutation import calibrate
from lbbt_mm.analysis.relative_representations import nearest_class, relative_similarities
from lbbt_mm.datasets.even_subset import even_indices
from lbbt_mm.datasets.feature_pairs import FeaturePairs
from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.models.multimodal.prototypes import class_prototypes
from .tasks import Task
from .text_sides import TextSide

#: Images that are classified at once.
_AT_ONCE = 8192


class Neighbourhood(NamedTuple):
    """How alike captions and images lie in their models.

    Attributes:
        score: Mutual nearest neighbours, 0 to 1.
        calibrated: 0 at what 5% of permutations reach, 1 for equal neighbours.
        p: Share of permutations that reach as much.
        samples: Captions that were compared.
    """
    score: float
    calibrated: float
    p: float
    samples: int


@torch.inference_mode()
def zero_shot_accuracy(model: nn.Module, side: TextSide, images: FeatureStore, task: Task) -> float:
    """Share of a task's images that are nearest to the prototype of their class.

    Args:
        model: A trained ShareLock, in evaluation mode.
        side: Features of the prompts.
        images: Features of the images.
        task: The task.
    """
    prototypes = class_prototypes(model.embed_text, side.prompt_features(task.prompts), task.num_classes)
    correct = 0
    for rows, labels in zip(task.rows.split(_AT_ONCE), task.labels.split(_AT_ONCE)):
        correct += int(((model.embed_image(images.rows(rows)) @ prototypes.T).argmax(1) == labels).sum())
    return correct / len(task.rows)


def asif_accuracies(pairs: FeaturePairs, side: TextSide, images: FeatureStore, tasks: Sequence[Task],
                    args: argparse.Namespace) -> Dict[str, float]:
    """Accuracy of relative representations in each task; each pair of an image and one of its captions is an anchor.

    Args:
        pairs: The pairs.
        side: Features of the prompts.
        images: Features of the images.
        tasks: The tasks.
        args: ``asif_kept`` and ``asif_power``.
    """
    known, found = _features(pairs), {}
    for task in tasks:
        classes = torch.arange(task.num_classes).repeat_interleave(len(task.prompts) // task.num_classes)
        similar = relative_similarities(images.rows(task.rows), side.prompt_features(task.prompts), known['image'],
                                        known['text'], args.asif_kept, args.asif_power)
        found[task.name] = (nearest_class(similar, classes.tolist()) == task.labels).float().mean().item()
    return found


def probe_images(images: FeatureStore, task: Task) -> float:
    """Accuracy of a linear probe of image features.

    Args:
        images: Features of the images.
        task: Whose labels are learned.

    Raises:
        ValueError: If a class has too few images.
    """
    return linear_probe(images.rows(task.rows).numpy(), task.labels.numpy()).accuracy


def probe_texts(captions: FeatureStore, images: FeatureStore, task: Task) -> float:
    """Accuracy of a linear probe of the features of images' captions; those of one image are in one fold.

    Args:
        captions: Features of the captions; a key is the image's.
        images: Features of the images, for their keys.
        task: Whose labels are learned.

    Raises:
        ValueError: If a class has too few images with captions.
    """
    labels = {images.keys[row]: label for row, label in zip(task.rows.tolist(), task.labels.tolist())}
    rows = [row for row, key in enumerate(captions.keys) if key in labels]
    groups = [captions.keys[row] for row in rows]
    return linear_probe(captions.rows(torch.tensor(rows, dtype=torch.long)).numpy(),
                        np.array([labels[key] for key in groups]), np.array(groups)).accuracy


def neighbourhood(pairs: FeaturePairs, args: argparse.Namespace) -> Neighbourhood:
    """Calibrated mutual nearest neighbours of captions and images; images whose captions have equal features are averaged.

    Args:
        pairs: An image and a caption each.
        args: ``max_samples``, ``neighbours``, ``permutations``.

    Raises:
        ValueError: If there are fewer captions than neighbours need.
    """
    found = _features(pairs, even_indices(len(pairs), args.max_samples))
    different, groups = torch.unique(found['text'], dim=0, return_inverse=True)
    check_samples(len(different), args.neighbours, f'different captions of {len(groups)} images')
    near = [[nearest_neighbours(prepare(features, clamp_level([features])), args.neighbours)]
            for features in (different, average(found['image'], groups).float())]
    compared = LayerPairs(*near)
    score = calibrate(compared.scores, compared.samples, args.permutations)
    return Neighbourhood(score.scores.item(), score.calibrated().item(), score.p_values.item(), compared.samples)


def _features(pairs: FeaturePairs, indices: Optional[List[int]] = None) -> Dict[str, Tensor]:
    return pairs.__getitems__(range(len(pairs)) if indices is None else indices)['inputs']
