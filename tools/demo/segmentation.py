"""The segmentation part: a Segmenter on SmolLM2's blocks beside the same one with Segmenter's own start."""
import argparse
from pathlib import Path
from typing import Dict, List

import numpy as np
from rich.console import Console

from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.launch.config_options import option
from lbbt_mm.runs.training_run import TrainingRun
from tools.demo.arms import Comparison, compare, data_options, make_data, quiet, save_figure

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'demo' / 'segmenter_smollm2_digits.py'
#: Iterations and training canvases of the small demo; the config has more.
ITERATIONS, CANVASES, ALL_CANVASES = 250, 1600, 5000


def run(args: argparse.Namespace, checkpoint: Path, console: Console) -> None:
    """Compare both starts, and draw what the first seed's segmentors see.

    Args:
        args: The demo's arguments.
        checkpoint: The language model.
        console: Where to print.
    """
    canvases = args.canvases or (ALL_CANVASES if args.full else CANVASES)
    data = make_data(make_digits_segmentation, args.out / f'digits_ade-{canvases}', num_train=canvases)
    console.print(f'Data: {canvases} training and 200 validation canvases of handwritten digits with masks in {data}',
                  soft_wrap=True, highlight=False)
    iterations = args.iterations or (None if args.full else ITERATIONS)
    options = [option('model.decode_head.language.checkpoint', checkpoint), *data_options(data)]
    if iterations:
        options += [f'train_cfg.max_iters={iterations}', f'train_cfg.val_interval={iterations}',
                    f'param_scheduler.1.end={max(iterations, 31)}', f'default_hooks.checkpoint.interval={iterations}',
                    f'default_hooks.logger.interval={min(iterations, 20)}']
    out = args.out / 'segmentation'
    runs = compare(Comparison(CONFIG, ('language', 'host'), ('mIoU', 'aAcc'), options), out, args.seeds, args.fresh)
    draw_predictions(runs, data, out / 'predictions.png')
    console.print(f'Predicted masks beside the truth: {out / "predictions.png"}', soft_wrap=True, highlight=False)


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
    refuse_unsafe_checkpoints([str(run.checkpoint())], trust=False)  # mmengine's own loader runs code
    with quiet():
        from mmseg.apis import MMSegInferencer
        inferencer = MMSegInferencer(str(run.work_dir / CONFIG.name), str(run.checkpoint()), device='cpu',
                                     show_progress=False)
        predictions = inferencer([str(image) for image in images], show=False)['predictions']
    meta = inferencer.model.dataset_meta
    return [np.asarray(mask) for mask in predictions], meta['classes'], np.asarray(meta['palette'])
