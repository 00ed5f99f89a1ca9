"""The table of gradient signal-to-noise ratios that a run keeps in its folder."""
import csv
import io
from pathlib import Path
from typing import Iterable, List, NamedTuple

from .whole_files import write_whole

#: What it is called.
FILE_NAME = 'gsnr.csv'


class GsnrRow(NamedTuple):
    """The ratio of a block in an epoch, see :class:`lbbt_mm.analysis.gsnr.Gsnr`.

    Attributes:
        epoch: From 1 on.
        block: Number of the block, from 0 on.
        gsnr: Mean over the parameters and the batches.
        floor: What it would be without any signal.
        corrected: ``gsnr - floor``.
        scaled: ``batch_size * gsnr``.
        parameters: How many the block has.
        zero_variance: How many of them are not in the mean.
        batch_size: Samples in a batch, over all ranks.
        batches: How many batches.
    """
    epoch: int
    block: int
    gsnr: float
    floor: float
    corrected: float
    scaled: float
    parameters: int
    zero_variance: float
    batch_size: int
    batches: int


def read_gsnr(path: Path) -> List[GsnrRow]:
    """Read a table.

    Args:
        path: The file.

    Raises:
        ValueError: If it is no such table.
    """
    lines = list(csv.reader(io.StringIO(Path(path).read_text(encoding='utf-8', errors='replace'))))
    kinds = GsnrRow.__annotations__.values()
    try:
        if not lines or tuple(lines[0]) != GsnrRow._fields:
            raise ValueError(f'its first line is {",".join(lines[0])[:100]!r}' if lines else 'it is empty')
        if any(len(line) != len(GsnrRow._fields) for line in lines):
            raise ValueError('a line has not as many cells as the first')
        return [GsnrRow(*(kind(cell) for kind, cell in zip(kinds, line))) for line in lines[1:]]
    except ValueError as error:
        raise ValueError(f'{path}: {error}; expected a table of {", ".join(GsnrRow._fields)}, as GSNRHook writes it. Move '
                         'the file away, or correct it.') from None


def write_gsnr(path: Path, rows: Iterable[GsnrRow]) -> None:
    """Write a table, whole.

    Args:
        path: The file.
        rows: What is in it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(GsnrRow._fields)
    writer.writerows(rows)
    write_whole(Path(path), text.getvalue())
