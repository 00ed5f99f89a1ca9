"""The folder of a figure: files that are there are replaced only where the same tool of ours wrote them."""
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

from lbbt_mm.files.whole_files import read_dict, write_whole

#: The mark of a folder with an experiment's results, see :mod:`lbbt_mm.experiments.results_folder`.
EXPERIMENT_MARK = '.lbbt_mm.json'
REPORT = 'report'
_ENDINGS = ('.png', '.pdf', '.csv', '.parts.json')
#: What a tool writes beside NAME.png, .pdf, .csv and .parts.json.
_MORE = dict(alignment=['alignment_transfer.csv'], gsnr=['gsnr_blocks.csv'], hessian=['hessian-density.csv'],
             mutual_knn=['mutual_knn_models.csv'], outliers=['outliers_groups.csv', 'outliers_curves.csv'])


def files_of(figure: str) -> List[str]:
    """The names in a folder that a tool writes.

    Args:
        figure: What the figure is called, which is the name of its tool; ``report`` is the page of all figures.
    """
    if figure == REPORT:
        return ['report.html', REPORT]
    return [*(f'{figure}{ending}' for ending in _ENDINGS), *_MORE.get(figure, ())]


def mark_of(folder: Path, figure: str) -> Path:
    """The file that says that a figure's files in a folder are its tool's; each figure has its own.

    Args:
        folder: Where the figure is.
        figure: As for :func:`files_of`.
    """
    return folder / f'.{figure}.lbbt_mm.json'


def refuse_other_figures(folder: Path, figure: str) -> None:
    """Refuse a folder where a figure would replace files that its tool did not write there.

    They are the tool's where :func:`mark_of` is there, or what the tool keeps of its work, or where a report or an
    experiment of ours has the folder for this figure.

    Args:
        folder: Where the figure goes; it may be absent.
        figure: As for :func:`files_of`.

    Raises:
        ValueError: If such a file is there and not the tool's.
    """
    there = [name for name in files_of(figure) if os.path.lexists(folder / name)]
    if there and not (_is_claimed(folder, figure) or _keeps_parts(folder, figure) or _is_of_ours(folder, figure)):
        mark = mark_of(folder, figure).name
        raise ValueError(f'{folder / there[0]} is there and would be overwritten, and no {mark} beside it says that '
                         f'{figure}.py wrote it. Nothing was touched: give another --out, or move '
                         f'{", ".join(there)} away, also where an earlier version of the tool wrote it.')


@contextmanager
def claimed(folder: Path, figure: str, is_ours: bool = False) -> Iterator[None]:
    """Take a folder for a figure while it is made, so that a later call, or one after a kill, knows its files as ours.

    Args:
        folder: Where the figure goes; it is made if it is absent. After an error that came before any of the figure's
            files it is as it was.
        figure: As for :func:`files_of`.
        is_ours: Whether the folder is known to be of an experiment of ours, whose report this is. Defaults to False.

    Raises:
        ValueError: As :func:`refuse_other_figures`.
    """
    if not is_ours:
        refuse_other_figures(folder, figure)
    absent = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    mark, is_new = mark_of(folder, figure), not _is_claimed(folder, figure)
    folder.mkdir(parents=True, exist_ok=True)
    if is_new:
        write_whole(mark, json.dumps(_maker(figure)))
    try:
        yield
    except BaseException:
        if is_new and not any(os.path.lexists(folder / name) for name in files_of(figure)):
            _undo(mark, absent)
        raise


def _undo(mark: Path, absent: Sequence[Path]) -> None:
    """Remove the mark, and the folders that were not there."""
    with suppress(OSError):  # the error that is under way counts
        mark.unlink()
        for folder in absent:
            folder.rmdir()  # an error where something is in it


def _maker(figure: str) -> Dict[str, str]:
    return dict(made_by=f'lbbt_mm {figure}.py')


def _is_claimed(folder: Path, figure: str) -> bool:
    return read_dict(mark_of(folder, figure)) == _maker(figure)


def _keeps_parts(folder: Path, figure: str) -> bool:
    """Whether the tool's own file is there, be it of a version that wrote no marks."""
    return {'question', 'parts'} <= read_dict(folder / f'{figure}.parts.json').keys()


def _is_of_ours(folder: Path, figure: str) -> bool:
    """Whether a folder is ``report/FIGURE`` beside a report of ours, or ``FIGURE`` in an experiment of ours."""
    place = folder.resolve()
    if place.name != figure:
        return False
    maker = str(read_dict(place.parent / EXPERIMENT_MARK).get('made_by'))
    return maker.startswith('lbbt_mm ') or place.parent.name == REPORT and _is_claimed(place.parents[1], REPORT)
