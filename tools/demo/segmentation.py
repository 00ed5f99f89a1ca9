"""The segmentation part of ``demo.py``: a Segmenter on SmolLM2's blocks beside the same one with Segmenter's own start."""
import time
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
from rich.console import Console

from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.launch.config_options import option
from lbbt_mm.runs.training_run import TrainingRun
from tools.demo.arms import ARMS, make_data, plot_curves, quiet_logging, save_figure, score_table, train_arms

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'demo' / 'segmenter_smollm2_digits.py'


def run_segmentation_demo(out: Path, checkpoint: Path, console: Console, iterations: Optional[int] = None,
                          canvases: int = 5000, fresh: bool = False) -> None:
    """Make the data, train both arms at the same time, print their scores and write the pictures.

    Args:
        out: The demo's folder.
        checkpoint: The language model.
        console: Where to print.
        iterations: Number of iterations; None for the config's.
        canvases: Number of training canvases.
        fresh: Whether to remove the runs that are there, and start again.
    """
    started = time.monotonic()
    data = make_data(make_digits_segmentation, out / f'digits_ade-{canvases}', num_train=canvases)
    console.print(f'Data: {canvases} training and 200 validation canvases of handwritten digits with masks in {data}',
                  soft_wrap=True)
    runs = {arm: TrainingRun(CONFIG, out / 'segmentation' / arm, train_options(arm, data, checkpoint, iterations))
            for arm in ARMS}
    train_arms(runs, out / 'segmentation', console, fresh)
    report(runs, out / 'segmentation', data, console)
    console.print(f'{(time.monotonic() - started) / 60:.1f} minutes in this call.')


def train_options(arm: str, data: Path, checkpoint: Path, iterations: Optional[int]) -> List[str]:
    """What differs from the config."""
    options = [f'model.decode_head.language.arm={arm}', option('model.decode_head.language.checkpoint', checkpoint)]
    options += [option(f'{name}_dataloader.dataset.data_root', data) for name in ('train', 'val', 'test')]
    if iterations:
        options += [f'train_cfg.max_iters={iterations}', f'train_cfg.val_interval={iterations}',
                    f'param_scheduler.1.end={max(iterations, 31)}', f'default_hooks.checkpoint.interval={iterations}',
                    f'default_hooks.logger.interval={min(iterations, 20)}']
    return options


def report(runs: Dict[str, TrainingRun], out: Path, data: Path, console: Console) -> None:
    """Print the table of both arms and write the pictures.

    Args:
        runs: Arm -> its run.
        out: Folder for the pictures.
        data: The data set.
        console: Where to print.
    """
    scalars = {arm: run.records() for arm, run in runs.items()}
    console.print(score_table(scalars, dict(mIoU='mIoU', aAcc='aAcc', mAcc='mAcc'), digits=1))
    curves, page = out / 'curves.png', out / 'predictions.png'
    plot_curves(scalars, curves, 'mIoU', 'mIoU', 'iteration', (0, 100))
    draw_predictions(runs, data, page)
    console.print(f'Curves: {curves}\nPredicted masks beside the truth: {page}', soft_wrap=True)


def draw_predictions(runs: Dict[str, TrainingRun], data: Path, path: Path, columns: int = 8) -> None:
    """Draw some validation canvases, their true masks, and those that each arm predicts.

    Args:
        runs: Arm -> its run.
        data: The data set.
        path: Picture to write.
        columns: Number of canvases, a column each.
    """
    import cv2
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch
    images = sorted((data / 'images' / 'validation').iterdir())[:columns]
    truths = [cv2.imread(str(data / 'annotations' / 'validation' / f'{image.stem}.png'), cv2.IMREAD_UNCHANGED)
              for image in images]
    ignored = [truth == 0 for truth in truths]
    rows = {'image': [cv2.imread(str(image)) for image in images]}
    predicted, classes, palette = {}, (), np.zeros((0, 3))
    for arm, run in runs.items():
        predicted[f'arm {arm}'], classes, palette = predict(run, images)
    masks = {'truth': [np.where(truth == 0, 255, truth - 1) for truth in truths], **predicted}
    colours = np.vstack([palette, np.zeros((256 - len(palette), 3))]).astype(np.uint8)
    rows.update({name: [colours[mask] for mask in row] for name, row in masks.items()})
    figure, axes = plt.subplots(len(rows), columns, figsize=(1.5 * columns, 1.65 * len(rows) + 0.5), layout='constrained')
    for cells, (name, pictures) in zip(axes, rows.items()):
        for cell, picture, blank in zip(cells, pictures, ignored):
            cell.imshow(picture)
            if name != 'image':  # where no one could say what a pixel is
                cell.imshow(np.ma.masked_where(~blank, blank), cmap='gray', vmin=0, vmax=1.4)
            cell.set_axis_off()
        cells[0].set_title(name, loc='left', fontsize=9)
    handles = [Patch(color=colour / 255, label=name) for name, colour in zip(classes, palette)]
    figure.legend(handles=[*handles, Patch(color='0.7', label='ignored')], loc='outside lower center', ncols=12, fontsize=8)
    save_figure(figure, path)


def predict(run: TrainingRun, images: List[Path]) -> tuple:
    """Masks that a run's last checkpoint predicts, the names of its classes and their colours."""
    from mmseg.apis import MMSegInferencer
    refuse_unsafe_checkpoints([str(run.checkpoint())], trust=False)  # mmengine's own loader runs code
    with quiet_logging():
        inferencer = MMSegInferencer(str(run.work_dir / CONFIG.name), str(run.checkpoint()), device='cpu',
                                     show_progress=False)
        predictions = inferencer([str(image) for image in images], show=False)['predictions']
    meta = inferencer.model.dataset_meta
    return [np.asarray(mask) for mask in predictions], meta['classes'], np.asarray(meta['palette'])
