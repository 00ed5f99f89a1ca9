"""Statistics of a matched experiment: arms that differ in one key, over the same seeds."""
import math
from typing import Mapping, NamedTuple, Optional, Sequence, TypeVar

import numpy as np
import pandas as pd

from lbbt_mm.analysis.mean_interval import mean_interval

Setting = TypeVar('Setting')


class PairedDifference(NamedTuple):
    """The mean difference of two arms over the seeds that both have, and its confidence interval.

    Attributes:
        pairs: Number of seeds.
        difference: Mean of the differences; NaN without pairs.
        low: Lower end of the interval of the paired t statistic; NaN for fewer than two pairs.
        high: Its upper end.
    """
    pairs: int
    difference: float
    low: float
    high: float


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float],
                      confidence: float = 0.95) -> PairedDifference:
    """Compare two arms seed by seed.

    Args:
        values: Seed -> value of the arm.
        baseline: Seed -> value of the arm it is compared with.
        confidence: Probability of the interval.

    Returns:
        PairedDifference: ``values`` minus ``baseline``.
    """
    differences = (pd.Series(values, dtype=float) - pd.Series(baseline, dtype=float)).dropna()
    return PairedDifference(len(differences), differences.mean(), *mean_interval(differences, confidence))


def summarize_arms(results: pd.DataFrame, metrics: Sequence[str], baseline: str,
                   confidence: float = 0.95) -> pd.DataFrame:
    """Summary of each metric for each arm.

    Mean, standard deviation and ``n`` are over the runs that finished with a number; those that diverged or are not
    there are counted beside them, never dropped. A metric ``PROBE/NAME`` of a later stage goes by the column
    ``PROBE/status`` where there is one, others by ``status``.

    Args:
        results: One row for each run (one run for each arm and seed): ``arm, seed, lr, status`` and a column for each
            metric. ``status`` is
            ``finished``, ``diverged``, ``failed`` or another word for a run that is not there yet.
        metrics: Names of the metrics.
        baseline: The arm that the differences are taken to.
        confidence: Probability of the intervals.

    Returns:
        DataFrame: One row for each metric and arm, in the order of ``metrics`` and of the arms in ``results``: ``metric,
        arm, lr, runs, n, mean, std, pairs, difference, low, high, diverged, failed``. ``std`` divides by n - 1.
    """
    rows = []
    for metric in metrics:
        status = status_column(results, metric)
        values = {arm: _finished_values(runs, metric, status) for arm, runs in results.groupby('arm', sort=False)}
        for arm, runs in results.groupby('arm', sort=False):
            difference = paired_difference(values[arm], values.get(baseline, {}) if arm != baseline else {}, confidence)
            rates = runs['lr'].dropna().unique()
            rows.append(dict(
                metric=metric, arm=arm, lr=rates[0] if len(rates) == 1 else math.nan, runs=len(runs), n=len(values[arm]),
                mean=values[arm].mean(), std=values[arm].std(), **difference._asdict(),
                **{word: int((runs[status] == word).sum()) for word in ('diverged', 'failed')}))
    return pd.DataFrame(rows)


def status_column(results: pd.DataFrame, metric: str) -> str:
    """The column that says how the stage ended which a metric belongs to."""
    stages = [column[:-len('/status')] for column in results.columns if column.endswith('/status')]
    owners = [stage for stage in stages if metric.startswith(f'{stage}/')]
    return f'{max(owners, key=len)}/status' if owners else 'status'


def best_setting(scores: Mapping[Setting, Optional[float]], lower_is_better: bool = False) -> Setting:
    """The setting with the best score.

    Args:
        scores: Setting, for example a learning rate or a tuple of several values, -> score; None or a score that is no
            number (a run that diverged)
            loses to any number.
        lower_is_better: Whether the best score is the lowest.

    Returns:
        The setting; the smallest of those with equal scores.

    Raises:
        ValueError: If no setting has a score.
    """
    numbers = {setting: score for setting, score in scores.items() if score is not None and math.isfinite(score)}
    if not numbers:
        names = ', '.join(f'{setting:g}' if isinstance(setting, float) else str(setting) for setting in scores)
        raise ValueError(f'None of {names} has a score: every run diverged or failed. Try other values.')
    sign = 1 if lower_is_better else -1
    return min(numbers, key=lambda setting: (sign * numbers[setting], setting))


def _finished_values(runs: pd.DataFrame, metric: str, status: str) -> pd.Series:
    """The numbers that runs finished with, by seed."""
    runs = runs.set_index('seed').reindex(columns=[metric, status])
    values = pd.to_numeric(runs[metric], errors='coerce')
    return values[np.isfinite(values) & (runs[status] == 'finished')]
