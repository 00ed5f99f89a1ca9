"""The runs that a report is of: those that are named, or those that an experiment compared."""
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import pandas as pd

from lbbt_mm.config_keys import get_key
from lbbt_mm.files.gsnr_table import FILE_NAME as GSNR_FILE
from lbbt_mm.runs.folder_names import FolderName
from lbbt_mm.runs.run_folder import is_run
from .run_curves import LoggedRun, read_runs
from .trained import run_config


class ReportedRuns(NamedTuple):
    """Runs of a report.

    Attributes:
        logged: All that have logs.
        whole: Those that came to their end, which the other sections are about: ``LABEL=RUN`` for command lines.
        left_out: Why others are in no section but the curves, or in none, a sentence each.
        experiment: Folder of the experiment; None where runs were named.
    """
    logged: List[str]
    whole: List[str]
    left_out: List[str]
    experiment: Optional[Path] = None

    @property
    def firsts(self) -> List[str]:
        """The first whole run of each label."""
        return list({text.split('=')[0]: text for text in reversed(self.whole)}.values())[::-1]

    @property
    def gaps(self) -> List[str]:
        """Labels of which some runs, or all, are in no section but the curves, a sentence each."""
        logged, whole = (Counter(text.split('=')[0] for text in texts) for texts in (self.logged, self.whole))
        return [f'{label}: {whole[label]} of its {count} runs came to their end; the others are in the curves alone.'
                if whole[label] else
                f'{label}: none of its runs has come to its end with finite numbers, so it is not here.'
                for label, count in logged.items() if whole[label] < count]

    @property
    def with_gsnr(self) -> List[str]:
        """The whole runs in which gradients of single samples were measured."""
        return [text for text in self.whole if (_folder_of(text) / GSNR_FILE).is_file()]

    @property
    def have_rectifier(self) -> bool:
        """Whether one of the runs has language blocks beside or inside another backbone."""
        return any(map(_has_rectifier, map(_folder_of, self.firsts)))


def find_runs(texts: Sequence[str]) -> ReportedRuns:
    """Read what the command line names.

    Args:
        texts: ``[LABEL=]RUN``, or one folder of an experiment.

    Raises:
        ValueError: If there is none, or an experiment has no results yet.
    """
    folder = Path(texts[0])
    if len(texts) > 1 or not (folder / 'runs').is_dir():
        return _sort(read_runs(texts), [], None)
    named, left_out = _compared(folder)
    runs = read_runs(named) if named else []
    return _sort(runs, left_out, folder)


def _sort(runs: Sequence[LoggedRun], left_out: Sequence[str], experiment: Optional[Path]) -> ReportedRuns:
    found = ReportedRuns([], [], list(left_out), experiment)
    for run in runs:
        text = f'{run.label.replace("=", ":")}={run.folder}'  # a label ends at the first =
        found.logged.append(text)
        ended = (run.folder / 'done').is_file() or not is_run(run.folder)
        if run.diverged or not ended:
            why = 'diverged' if run.diverged else 'has not come to its end'
            found.left_out.append(f'{run.name} {why}; it is in the curves alone.')
        else:
            found.whole.append(text)
    return found


def _folder_of(text: str) -> Path:
    return Path(text.split('=', 1)[1])


def _has_rectifier(folder: Path) -> bool:
    try:
        return isinstance(get_key(run_config(folder), 'model.rectifier'), dict)
    except (OSError, ValueError):  # of a run whose config is not there, the tools say so
        return False


def _compared(folder: Path) -> Tuple[List[str], List[str]]:
    """The runs that an experiment compared, as its summary says; and why some are not here."""
    try:
        summary = pd.read_csv(folder / 'summary.csv')
        rates = dict(zip(summary['arm'], summary['lr']))
    except (OSError, ValueError, KeyError):
        raise ValueError(f'{folder}: has no summary.csv of an experiment yet. Let compare_arms.py come to its end, or name '
                         'the runs: LABEL=RUN.') from None
    named, left_out = [], []
    for label, rate in rates.items():
        by_std: Dict[Optional[float], List[Tuple[int, Path]]] = {}
        for path in (folder / 'runs').iterdir():
            name = FolderName.read(path.name)
            if name and name.label == str(label) and (pd.isna(rate) or name.lr in (None, rate)):
                by_std.setdefault(name.init_std, []).append((name.seed, path))
        most = max(map(len, by_std.values()), default=0)
        chosen = [runs for runs in by_std.values() if len(runs) == most]  # others were tried with the first seed alone
        if len(chosen) != 1:
            left_out.append(f'{label}: ' + (f'{folder / "runs"} has none of its runs.' if not chosen else
                                            'which of its standard deviations was chosen cannot be seen from one seed.'))
            continue
        for _, path in sorted(chosen[0]):
            if any(path.glob('*/vis_data/scalars.json')):
                named.append(f'{str(label).replace("=", ":")}={path}')
            else:
                left_out.append(f'{path.name}: has no log.')
    return named, left_out
