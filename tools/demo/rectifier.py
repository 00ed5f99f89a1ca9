"""The rectifier part: a small ViT with a frozen block of SmolLM2 on an auxiliary path, and the plain one."""
import re
from pathlib import Path
from typing import List

from lbbt_mm.data_makers.digits_to_imagefolder import NUM_TRAIN_DIGITS, make_digits_imagefolder
from lbbt_mm.launch.config_options import option
from tools.demo.part import CONFIGS, Part, Runs, length
from tools.demo.sizes import Sizes


def options(checkpoint: Path, sizes: Sizes) -> List[str]:
    """Overrides of the config."""
    return [option('model.rectifier.language.checkpoint', checkpoint),
            f'train_dataloader.dataset.num_samples={sizes.rectifier_digits}', *length(sizes.rectifier_epochs)]


def draw(runs: Runs, data: Path, picture: Path) -> None:
    """Draw the gradient signal-to-noise ratios of all runs, with the floor that they have without a signal.

    Args:
        runs: The runs of the first seed, those of the other seeds beside them.
        data: Is not asked for.
        picture: A file in the part's folder, which the pictures go into.
    """
    from lbbt_mm.figures.gsnr import main as draw_gsnr
    folders = {run.work_dir.parent for run in runs.values()}
    every = sorted(str(run) for folder in folders for run in folder.iterdir() if (run / 'gsnr.csv').is_file())
    plain = re.sub('-seed[0-9]+', '', runs['plain'].work_dir.name)  # a label of the figure
    draw_gsnr([*every, '--baseline', plain, '--out', str(picture.parent / 'gsnr')])


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
