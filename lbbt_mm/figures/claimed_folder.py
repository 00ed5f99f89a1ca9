"""The folder of a figure: files that are there are replaced only where the same tool of ours wrote them."""
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from lbbt_mm.files.whole_files import read_dict, write_whole

#: The mark of folders with results of ours, experiments' too (:mod:`lbbt_mm.experiments.results_folder`).
MARK = '.lbbt_mm.json'
#: In a mark: the figures whose files there are ours.
_FIGURES = 'figures'
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


def refuse_other_figures(folder: Path, figure: str) -> None:
    """Refuse a folder where a figure would replace files that its tool did not write there.

    They are the tool's where the folder's :data:`MARK` says so, or a report of ours has it for its section.

    Args:
        folder: Where the figure goes; it may be absent.
        figure: As for :func:`files_of`.

    Raises:
        ValueError: If such a file is there and not the tool's.
    """
    there = [name for name in files_of(figure) if os.path.lexists(folder / name)]
    if there and figure not in _figures(read_dict(folder / MARK)) and not _is_section(folder, figure):
        raise ValueError(f'{folder / there[0]} is there and would be overwritten, and {MARK} beside it does not say that '
                         f'{figure}.py wrote it. Nothing was touched: give another --out, or move {", ".join(there)} away, '
                         'also where an earlier version of the tool wrote it.')


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
    mark = folder / MARK
    found, before = read_dict(mark), mark.read_bytes() if mark.is_file() else None
    is_new = figure not in _figures(found)
    folder.mkdir(parents=True, exist_ok=True)
    if is_new:
        is_named = is_ours or str(found.get('made_by')).startswith('lbbt_mm ')
        made_by = {} if is_named else dict(made_by=f'lbbt_mm {figure}.py')
        write_whole(mark, json.dumps({**found, **made_by, _FIGURES: [*_figures(found), figure]}))
    try:
        yield
    except BaseException:
        if is_new and not any(os.path.lexists(folder / name) for name in files_of(figure)):
            _undo(mark, before, absent)
        raise


def _undo(mark: Path, before: Optional[bytes], absent: Sequence[Path]) -> None:
    """Put back the mark that was there, if any, and remove the folders that were not."""
    with suppress(OSError):  # the error that is under way counts
        mark.unlink() if before is None else mark.write_bytes(before)
        for folder in absent:
            folder.rmdir()  # an error where something is in it


def _figures(mark: Dict[str, Any]) -> List[str]:
    figures = mark.get(_FIGURES)
    return figures if isinstance(figures, list) else []


def _is_section(folder: Path, figure: str) -> bool:
    """Whether a folder is ``report/FIGURE`` below one that has a report of ours."""
    place = folder.resolve()
    return place.name == figure and place.parent.name == REPORT and REPORT in _figures(read_dict(place.parents[1] / MARK))
