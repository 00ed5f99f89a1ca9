"""What features say of labels when labels are given: a linear classifier on features that stay as they are.

It is no zero-shot result: the classes that are asked for were seen in training. It says how well a frozen model's
features tell the classes apart: a zero-shot method that is below it does not lack features.
"""
import warnings
from typing import NamedTuple, Optional

import numpy as np
from numpy import ndarray


class ProbeResult(NamedTuple):
    """How well a linear classifier tells classes apart.

    Attributes:
        accuracy: Share of the samples whose class is predicted by the classifier of the other folds.
        majority: Share of the largest class: what is reached by features that say nothing.
        samples: How many there are.
        classes: How many classes they have.
        folds: How many parts they were divided into.
    """
    accuracy: float
    majority: float
    samples: int
    classes: int
    folds: int


def linear_probe(features: ndarray, labels: ndarray, groups: Optional[ndarray] = None, folds: int = 5,
                 seed: int = 0) -> ProbeResult:
    """Cross-validated logistic regression: each sample is classified by what was learned of the other folds.

    scikit-learn's ``LogisticRegression`` with its own strength of regularisation (C = 1) on features of mean 0 and variance
    1, both taken from the samples that are trained on. Folds have the classes in equal shares, as far as that goes.

    Args:
        features: ``(N, C)``.
        labels: ``(N, )``.
        groups: Samples of one group are in one fold: captions of one image, of which one would give the other away;
            ``(N, )``. Defaults to None, each its own.
        folds: At most so many; no more than the samples (groups) of the smallest class, 2 at least. Defaults to 5.
        seed: Of the folds. Defaults to 0.

    Returns:
        ProbeResult: The accuracy, and what it is to be compared with.

    Raises:
        ValueError: If there are fewer than two classes, or a class has one sample (group): in its fold nobody has seen it.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    folds = _check(features, labels, groups, folds)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        warnings.filterwarnings('ignore', 'The least populated class')  # of some folds, which is said above
        found = cross_val_predict(classifier, features, labels, groups=groups,
                                  cv=StratifiedGroupKFold(folds, shuffle=True, random_state=seed))
    counts = np.unique(labels, return_counts=True)[1]
    return ProbeResult(float(np.mean(found == labels)), float(counts.max() / len(labels)), len(labels), len(counts), folds)


def _check(features: ndarray, labels: ndarray, groups: ndarray, folds: int) -> int:
    """How many folds there are."""
    if features.ndim != 2 or not len(features) == len(labels) == len(groups):
        raise ValueError(f'linear probe: features {features.shape}, {len(labels)} labels, {len(groups)} groups; expected '
                         '(N, C), N and N.')
    if not np.isfinite(features).all():
        raise ValueError('linear probe: features that are not finite; expected numbers. Make them again.')
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f'linear probe: {len(labels)} samples of {len(classes)} class; expected two classes at least.')
    sizes = [len(np.unique(groups[labels == label])) for label in classes]
    if min(sizes) < 2:
        raise ValueError(f'linear probe: class {classes[int(np.argmin(sizes))]} has one sample; expected two at least, '
                         'one to learn from and one to test.')
    return max(2, min(folds, min(sizes)))
