"""Images and texts compared without training: by how similar each is to the images, and texts, of known pairs (ASIF).

Norelli et al., "ASIF: Coupled Data Turns Unimodal Models to Multimodal Without Training" (arXiv 2210.01738): an image is
represented by its cosine similarities to the images of N pairs, a text by its similarities to their texts; of both the k
largest are kept and raised to the power p. The two are compared by their own cosine.

As in the public code (noranta4/ASIF at 9f95422), a negative similarity counts as 0, and an image is of the class of its
nearest prompt.
"""
from typing import List

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

#: The paper's, for 1.6 million pairs (Sec. 4).
NON_ZERO, POWER = 800, 8
#: Similarities that are there at once.
_AT_ONCE = 1 << 25


def relative_representations(features: Tensor, anchors: Tensor, non_zero: int = NON_ZERO,
                             power: float = POWER) -> sparse.csr_matrix:
    """Represent samples by their similarities to anchors (recipe of Sec. 3).

    Args:
        features: Of the samples, ``(M, C)``.
        anchors: Features of the known pairs on the same side, ``(N, C)``.
        non_zero: k, similarities that are kept of each sample; all where there are fewer anchors. Defaults to 800.
        power: p, what they are raised to. Defaults to 8.

    Returns:
        csr_matrix: ``(M, N)``, float64, rows of unit length; a row of zeros where no similarity is above 0.

    Raises:
        ValueError: If widths differ, there is nothing to compare, or features are not finite.
    """
    if features.ndim != 2 or anchors.ndim != 2 or features.shape[1] != anchors.shape[1] or not len(anchors):
        raise ValueError(f'relative representations: features {tuple(features.shape)}, anchors {tuple(anchors.shape)}; '
                         'expected (M, C) and (N, C), of one model, with an anchor at least.')
    if non_zero < 1 or power <= 0:
        raise ValueError(f'relative representations: non_zero={non_zero}, power={power}; expected 1 or more, and a number '
                         'above 0.')
    for what in (features, anchors):
        if not torch.isfinite(what).all():
            raise ValueError('relative representations: features that are not finite; expected numbers. Make them again.')
    features, anchors = (F.normalize(what.double(), dim=1) for what in (features, anchors))
    non_zero, rows = min(non_zero, len(anchors)), max(1, _AT_ONCE // len(anchors))
    parts = [_sparse(features[first:first + rows] @ anchors.T, non_zero, power) for first in range(0, len(features), rows)]
    return sparse.vstack(parts, format='csr') if parts else sparse.csr_matrix((0, len(anchors)))


def _sparse(similar: Tensor, non_zero: int, power: float) -> sparse.csr_matrix:
    values, columns = similar.topk(non_zero, dim=1)
    # divided by its largest first: the power of small similarities would be rounded to 0
    values = values.clamp(min=0) / values[:, :1].clamp(min=torch.finfo(values.dtype).tiny)
    values = F.normalize(values**power, dim=1)
    pointers = np.arange(len(similar) + 1) * non_zero
    found = sparse.csr_matrix((values.numpy().ravel(), columns.numpy().ravel(), pointers), similar.shape)
    found.eliminate_zeros()
    return found


def relative_similarities(images: Tensor, texts: Tensor, anchor_images: Tensor, anchor_texts: Tensor,
                          non_zero: int = NON_ZERO, power: float = POWER) -> Tensor:
    """How similar images and texts are, each seen through its own side of known pairs.

    Args:
        images: Image features ``(I, C)``.
        texts: Text features ``(T, D)``.
        anchor_images: Image features of the pairs ``(N, C)``.
        anchor_texts: Text features of the same pairs ``(N, D)``.
        non_zero: See :func:`relative_representations`. Defaults to 800.
        power: See :func:`relative_representations`. Defaults to 8.

    Returns:
        Tensor: ``(I, T)``, 0 to 1, float64.

    Raises:
        ValueError: If the two sides have different numbers of pairs, or as :func:`relative_representations`.
    """
    if len(anchor_images) != len(anchor_texts):
        raise ValueError(f'relative representations: {len(anchor_images)} images and {len(anchor_texts)} texts of known '
                         'pairs; expected one text an image. Give the features of the same pairs.')
    seen = relative_representations(images, anchor_images, non_zero, power)
    read = relative_representations(texts, anchor_texts, non_zero, power)
    return torch.from_numpy((seen @ read.T).toarray())


def nearest_class(similarities: Tensor, classes: List[int]) -> Tensor:
    """The class of the prompt that each image is most similar to.

    Args:
        similarities: Of images and prompts, ``(I, T)``.
        classes: Which class each prompt is of, T of them.

    Returns:
        Tensor: ``(I, )``, int64; of equal prompts the first.
    """
    return torch.tensor(classes)[similarities.argmax(1)]
