"""Whether features tell classes apart: t-SNE and KMeans (LBBT, Fig. 5, Eq. 1), measured against the true labels."""
from typing import Any, Dict

import numpy as np
from numpy import ndarray

#: What is measured against labels, each at most 1
MEASURES = ('purity', 'nmi', 'silhouette', 'knn')
#: A feature that varies by less than this share of its size does not vary but for rounding
_ROUNDING = 1e-6


def check_points(features: ndarray, labels: ndarray, perplexity: float, neighbours: int) -> None:
    """Refuse what cannot be clustered, embedded and measured.

    Args:
        features: ``(N, C)``.
        labels: ``(N, )``.
        perplexity: Of t-SNE.
        neighbours: Of the vote.

    Raises:
        ValueError: If labels are of one class, or samples too few for the clusters, the perplexity or the neighbours.
    """
    samples, classes = len(features), len(np.unique(labels))
    if classes < 2:
        raise ValueError(f'{samples} samples of {classes} class; expected two classes at least. Take more samples, or '
                         'a data set with more classes.')
    for name, least in (('clusters, one for each class', classes), ('for the perplexity of t-SNE', perplexity),
                        ('nearest neighbours', neighbours)):
        if samples <= least:
            raise ValueError(f'{samples} samples and {least:g} {name}; expected more samples than that. Take more samples, '
                             'or a lower number.')


def spread_of(features: ndarray) -> float:
    """How much of the features differs between samples.

    Args:
        features: ``(N, C)``.

    Returns:
        float: The root of their variance over their mean square, 0 to 1: 0 where all samples have the same.
    """
    features = features.astype(np.float64)
    square = np.mean(features**2)
    return float(np.sqrt(features.var(axis=0).mean() / square)) if square else 0.


def standardise(features: ndarray) -> ndarray:
    """Features with mean 0 and variance 1 each over the samples; those that do not vary are left out.

    Args:
        features: ``(N, C)``.

    Returns:
        ndarray: ``(N, C')``, float64.

    Raises:
        ValueError: If a number is not finite, or no feature varies.
    """
    features = features.astype(np.float64)
    if not np.isfinite(features).all():
        raise ValueError('features that are not finite; expected finite ones, so this training has diverged.')
    deviation = features.std(axis=0)
    varies = deviation > _ROUNDING * np.sqrt(np.mean(features**2, axis=0))
    if not varies.any():
        raise ValueError(f'the same features for all {len(features)} samples; expected features that vary.')
    return (features[:, varies] - features[:, varies].mean(axis=0)) / deviation[varies]


def embed(features: ndarray, perplexity: float = 30., seed: int = 0) -> ndarray:
    """The plane of t-SNE (van der Maaten and Hinton, JMLR 2008), scikit-learn's, started from the principal components.

    Args:
        features: ``(N, C)``.
        perplexity: About how many neighbours of a sample count. Defaults to 30.
        seed: Of what is drawn. Defaults to 0.

    Returns:
        ndarray: ``(N, 2)``, of no unit.
    """
    from sklearn.manifold import TSNE
    if features.shape[1] < 2:  # which principal components need
        features = np.column_stack([features, np.zeros(len(features))])
    return TSNE(perplexity=perplexity, init='pca', random_state=seed).fit_transform(features)


def cluster(points: ndarray, clusters: int, seed: int = 0) -> ndarray:
    """KMeans, the best of ten starts.

    Args:
        points: ``(N, C)``.
        clusters: How many.
        seed: Of the starts. Defaults to 0.

    Returns:
        ndarray: The cluster of each point ``(N, )``.
    """
    from sklearn.cluster import KMeans
    return KMeans(clusters, n_init=10, random_state=seed).fit_predict(points)


def purity(clusters: ndarray, labels: ndarray) -> float:
    """The share of the samples whose label is the commonest of their cluster.

    Args:
        clusters: ``(N, )``.
        labels: ``(N, )``.
    """
    from sklearn.metrics.cluster import contingency_matrix
    return float(contingency_matrix(labels, clusters).max(axis=0).sum() / len(labels))


def measure(points: ndarray, labels: ndarray, clusters: ndarray, neighbours: int = 10, permutations: int = 20,
            seed: int = 0) -> Dict[str, Any]:
    """How well points and their clusters agree with labels, and with labels that are permuted among the samples.

    - ``purity`` and ``nmi`` (normalised mutual information, over the mean of the entropies) of the clusters;
    - ``silhouette`` (Rousseeuw, 1987) of the *labels*: above 0 where samples are nearer to their class than to others;
    - ``knn``: the share of samples whose label most of their nearest neighbours have, the sample itself left out.

    Args:
        points: ``(N, C)``.
        labels: ``(N, )``.
        clusters: ``(N, )``.
        neighbours: Of the vote. Defaults to 10.
        permutations: How many. Defaults to 20.
        seed: Of the permutations. Defaults to 0.

    Returns:
        dict: For each of :data:`MEASURES` its value, and as ``NAME_permuted`` and ``NAME_permuted_std`` the mean and the
        standard deviation over the permutations; ``silhouette_of_clusters``, the one that a picture of points in the colours
        of their clusters shows, which needs no labels.
    """
    from sklearn.metrics import pairwise_distances, silhouette_score
    distances = pairwise_distances(points)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind='stable')[:, :neighbours]
    np.fill_diagonal(distances, 0)
    rng = np.random.default_rng(seed)
    real = _agreement(distances, nearest, labels, clusters)
    drawn = [_agreement(distances, nearest, rng.permutation(labels), clusters) for _ in range(permutations)]
    found = {}
    for name, value in real.items():
        values = [numbers[name] for numbers in drawn]
        found.update({name: value, f'{name}_permuted': float(np.mean(values)),
                      f'{name}_permuted_std': float(np.std(values))})
    several = 1 < len(np.unique(clusters)) < len(points)
    own = silhouette_score(distances, clusters, metric='precomputed') if several else np.nan
    return dict(found, silhouette_of_clusters=float(own))


def _agreement(distances: ndarray, nearest: ndarray, labels: ndarray, clusters: ndarray) -> Dict[str, float]:
    from sklearn.metrics import normalized_mutual_info_score, silhouette_score
    classes, numbers = np.unique(labels, return_inverse=True)
    votes = np.stack([(numbers[nearest] == number).sum(axis=1) for number in range(len(classes))], axis=1)
    return dict(purity=purity(clusters, labels), nmi=float(normalized_mutual_info_score(labels, clusters)),
                silhouette=float(silhouette_score(distances, labels, metric='precomputed')),
                knn=float(np.mean(votes.argmax(axis=1) == numbers)))
