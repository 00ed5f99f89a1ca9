"""The numbers of mutual nearest neighbours as tables: all pairs of blocks, the best ones, sizes of models (Table 1)."""
from typing import Any, NamedTuple, Sequence, Tuple

import pandas as pd
import torch

from lbbt_mm.analysis.permutation import Calibrated

#: Of what is called significant.
LEVEL = 0.05
#: Pairs of blocks that are printed for each pair of models.
_PRINTED = 5
#: Share of samples with nothing but twins for neighbours from which on a score is no longer one of the language model.
_MOSTLY_TWINS = 0.5


class Compared(NamedTuple):
    """A language model against a vision model.

    Attributes:
        language: Label of the language model.
        vision: Label of the run.
        run: Which of the runs of that label, from 0.
        parameters: Of the language model and of the vision model.
        chance: The mean of the score under permutation.
        found: Scores ``(language blocks, vision blocks)``, and what chance gives.
        twins: Share of samples whose neighbours among the captions are all samples with the very same caption.
    """
    language: str
    vision: str
    run: int
    parameters: Tuple[int, int]
    chance: float
    found: Calibrated
    twins: float = 0.


def pairs_table(compared: Sequence[Compared]) -> pd.DataFrame:
    """A row for each pair of blocks of each pair of models."""
    rows = []
    for one in compared:
        found, p_values, calibrated = one.found, one.found.p_values, one.found.calibrated(LEVEL)
        for first, second in torch.cartesian_prod(*map(torch.arange, found.scores.shape)).tolist():
            place = first, second
            rows.append(dict(language=one.language, vision=one.vision, run=one.run, language_block=first,
                             vision_block=second, score=found.scores[place].item(), calibrated=calibrated[place].item(),
                             p=p_values[place].item(), chance=one.chance, null_mean=found.null_mean[place].item(),
                             null_std=found.null_std[place].item()))
    return pd.DataFrame(rows)


def best_pairs(compared: Sequence[Compared]) -> pd.DataFrame:
    """The rows of :func:`pairs_table` with the highest scores of each pair of models."""
    models = ['language', 'vision', 'run']
    groups = pairs_table(compared).groupby(models, sort=False)
    found = pd.concat(own.sort_values('score', ascending=False, kind='stable').head(_PRINTED) for _, own in groups)
    return found[[*models, 'language_block', 'vision_block', 'score', 'calibrated', 'p']]


def models_table(compared: Sequence[Compared]) -> pd.DataFrame:
    """A row for each language model and run: its best pair of blocks."""
    rows = []
    for one in compared:
        first, second = one.found.best
        rows.append(dict(
            language=one.language, vision=one.vision, run=one.run, language_parameters=one.parameters[0],
            vision_parameters=one.parameters[1], language_block=first, vision_block=second,
            score=one.found.scores.max().item(), calibrated=one.found.calibrated(LEVEL).max().item(),
            equal=int((one.found.scores == one.found.scores.max()).sum()),
            p=one.found.p_values[first, second].item(), chance=one.chance, threshold=one.found.threshold(LEVEL),
            permutations=len(one.found.maxima), twins=one.twins))
    return pd.DataFrame(rows)


def sizes_table(models: pd.DataFrame) -> pd.DataFrame:
    """Table 1: language models in rows, vision models in columns; of runs with one label the mean, and the largest p.

    Args:
        models: What :func:`models_table` returns.
    """
    vision = models.groupby('vision', sort=False)['vision_parameters'].first()
    rows = []
    for label, own in models.groupby('language', sort=False):
        row = {'language': label, 'parameters': f'{own["language_parameters"].iloc[0] / 1e6:,.1f}M'}
        for name, runs in own.groupby('vision', sort=False):
            spread = f' ± {runs["score"].std():.4f}' if len(runs) > 1 else ''
            row[f'{name} ({vision[name] / 1e6:,.1f}M)'] = (f'{runs["score"].mean():.4f}{spread} '
                                                           f'({runs["calibrated"].mean():.4f}, p {runs["p"].max():.3g})')
        rows.append(row)
    return pd.DataFrame(rows)


def recommendation(row: Any) -> str:
    """What the best pair of blocks recommends, in a sentence.

    Args:
        row: Of :func:`models_table`.
    """
    models = f'{row.language} and {row.vision}' + (f', run {row.run}' if row.run else '')
    if row.twins >= _MOSTLY_TWINS:
        return (f'{models}: nothing is to be recommended. Of {row.twins:.0%} of the samples all neighbours have the very '
                'same caption, whatever the language model; take --duplicates average, or captions that differ.')
    if row.p > LEVEL:
        return (f'{models}: nothing is to be recommended. The best pair has {row.score:.4f}, and p = {row.p:.3g}: permuted '
                'captions reach that too.')
    equal = f', the first of {row.equal} pairs with this score' if row.equal > 1 else ''
    return (f'{models}: recommended is language.blocks={row.language_block} with insert_after={row.vision_block}, both '
            f'counted from 0{equal}: score {row.score:.4f}, calibrated {row.calibrated:.4f}, p = {row.p:.3g}.')
