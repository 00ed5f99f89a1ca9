"""How runs of one label, its seeds, are told apart: in messages, and in pictures and tables with a place for each."""
from collections import Counter
from typing import Any, List, Sequence


def message_names(runs: Sequence[Any]) -> List[str]:
    """What messages call runs: by the label, and the checkpoint where several runs have the label.

    Args:
        runs: Of :class:`~lbbt_mm.figures.trained.OpenedRun`.
    """
    count = Counter(run.label for run in runs)
    return [f'{run.label} ({run.checkpoint})' if count[run.label] > 1 else run.label for run in runs]


def short_names(runs: Sequence[Any]) -> List[str]:
    """What pictures call runs: by the label, and the seed where several runs have the label.

    Args:
        runs: Of :class:`~lbbt_mm.figures.trained.OpenedRun`.

    Returns:
        list[str]: Names that differ. Runs of a label whose seeds do not tell them apart are counted, from 1.
    """
    by_label = {}
    for run in runs:
        by_label.setdefault(run.label, []).append(run)
    names = {}
    for label, own in by_label.items():
        seeds = [(run.cfg.get('randomness') or {}).get('seed') for run in own]
        known = None not in seeds and len(set(seeds)) == len(seeds)
        numbered = [f'{label}, seed {seed}' if known else f'{label}, run {number}' for number, seed in enumerate(seeds, 1)]
        names.update(zip(map(id, own), numbered if len(own) > 1 else [label]))
    return [names[id(run)] for run in runs]


def one_of(number: int) -> str:
    """A second line of a panel's title where one run is shown of several of a label; nothing where there is one.

    Args:
        number: How many runs the label has.
    """
    return f'\n(1 of {number} runs)' if number > 1 else ''
