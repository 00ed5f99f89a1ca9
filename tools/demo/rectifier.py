"""The rectifier part: a small ViT with a frozen block of SmolLM2 on an auxiliary path, and the plain one."""
import sys
from pathlib import Path
from typing import List, Sequence

import pandas as pd

from lbbt_mm.data_makers.digits_to_imagefolder import NUM_TRAIN_DIGITS, make_digits_imagefolder
from lbbt_mm.launch.config_options import option
from lbbt_mm.runs.folder_names import FolderName, without_seed
from tools.demo.part import CONFIGS, Part, Runs, length
from tools.demo.sizes import Sizes


def options(checkpoint: Path, sizes: Sizes) -> List[str]:
    """Overrides of the config."""
    return [option('model.rectifier.language.checkpoint', checkpoint),
            f'train_dataloader.dataset.num_samples={sizes.rectifier_digits}', *length(sizes.rectifier_epochs)]


def draw(runs: Runs, data: Path, out: Path) -> None:
    """Draw gradient signal-to-noise ratios of all runs, with the floor that they have without a signal, and compare arms.

    Args:
        runs: The runs of the first seed, those of the other seeds beside them.
        data: Is not asked for.
        out: The part's folder.

    Raises:
        SystemExit: If there is no picture; the tool has said why.
    """
    from lbbt_mm.figures.gsnr import main as draw_gsnr
    plain = runs['plain'].work_dir
    folders = sorted(path.parent for path in plain.parent.glob('*/gsnr.csv') if FolderName.read(path.parent.name))
    status = draw_gsnr([*map(str, folders), '--baseline', without_seed(plain.name), '--out', str(out / 'gsnr')])
    if status:
        sys.exit(status)
    for sentence in compare_gsnr(folders):
        print(sentence)


def compare_gsnr(folders: Sequence[Path]) -> List[str]:
    """The difference of the arms, paired by seed, and whether the seeds tell them apart.

    Args:
        folders: Of the runs, each with its ``gsnr.csv``.
    """
    from lbbt_mm.experiments.report import verdicts
    from lbbt_mm.experiments.statistics import summarize_arms
    from lbbt_mm.files.gsnr_table import FILE_NAME, read_gsnr
    metric, rows = 'GSNR, mean over blocks and epochs', []
    for folder in folders:
        name, values = FolderName.read(folder.name), [row.gsnr for row in read_gsnr(folder / FILE_NAME)]
        rows.append({'arm': name.label, 'seed': name.seed, 'lr': name.lr, 'status': 'finished',
                     metric: sum(values) / len(values)})
    return verdicts(summarize_arms(pd.DataFrame(rows), [metric], 'plain'), 'plain')


PART = Part(
    config=CONFIGS / 'rectifier_smollm2_digits.py',
    arms=('language', 'plain'),
    metrics=('accuracy/top1', ),
    make_data=lambda out, sizes: make_digits_imagefolder(out / f'digits_imagefolder-{NUM_TRAIN_DIGITS}'),
    options=options,
    data='{rectifier_digits} handwritten digits with true labels',
    draw=draw,
    note='language: a frozen block of SmolLM2 on a second path in training alone; with both arms inference is a plain ViT. '
    'How far the gradients of samples agree, with the floor of no signal: {out}/gsnr/gsnr.png')
