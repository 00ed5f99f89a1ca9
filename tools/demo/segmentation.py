"""The segmentation part: a Segmenter on SmolLM2's blocks beside the same one with Segmenter's own start."""
from pathlib import Path
from typing import List

import numpy as np

from lbbt_mm.data_makers.digits_to_ade import make_digits_segmentation
from lbbt_mm.launch.config_options import option
from tools.demo.part import CANVASES, CONFIGS, Part, Runs, canvas_folder, infer, new_figure, save_figure
from tools.demo.sizes import Sizes


def options(checkpoint: Path, sizes: Sizes) -> List[str]:
    """Overrides of the config."""
    iterations = sizes.segmentation_iterations
    given = [option('model.decode_head.language.checkpoint', checkpoint)]
    if iterations:
        given += [f'train_cfg.max_iters={iterations}', f'train_cfg.val_interval={iterations}',
                  f'param_scheduler.1.end={max(iterations, 31)}', f'default_hooks.checkpoint.interval={iterations}',
                  f'default_hooks.logger.interval={min(iterations, 20)}']
    return given


def draw_predictions(runs: Runs, data: Path, path: Path, columns: int = 8) -> None:
    """Draw some validation canvases, their true masks, and those that each arm predicts.

    Args:
        runs: Arm -> its run.
        data: The data set.
        path: Picture to write.
        columns: Number of canvases, a column each.
    """
    import cv2
    images = sorted((data / 'images' / 'validation').iterdir())[:columns]
    truths = [cv2.imread(str(data / 'annotations' / 'validation' / f'{image.stem}.png'), cv2.IMREAD_UNCHANGED)
              for image in images]
    masks, meta = {'truth': [np.where(truth == 0, 255, truth - 1) for truth in truths]}, {}
    for arm, run in runs.items():
        masks[f'arm {arm}'], meta = infer('mmseg.apis.MMSegInferencer', run, images, show=False)
    palette = np.asarray(meta['palette'])
    colours = np.vstack([palette, np.zeros((256 - len(palette), 3))]).astype(np.uint8)
    figure, axes = new_figure(len(masks) + 1, columns, 1.5, 1.8)
    from matplotlib.patches import Patch
    for cell, image in zip(axes[0], images):
        cell.imshow(cv2.imread(str(image)))
    for cells, row in zip(axes[1:], masks.values()):
        for cell, mask, truth in zip(cells, row, truths):
            cell.imshow(colours[np.asarray(mask)])
            blank = truth == 0  # where no one could say what a pixel is
            cell.imshow(np.ma.masked_where(~blank, blank), cmap='gray', vmin=0, vmax=1.4)
    for cells, name in zip(axes, ('image', *masks)):
        cells[0].set_title(name, loc='left', fontsize=9)
    handles = [Patch(color=colour / 255, label=name) for name, colour in zip(meta['classes'], palette)]
    figure.legend(handles=[*handles, Patch(color='0.7', label='ignored')], loc='outside lower center', ncols=12, fontsize=8)
    save_figure(figure, path)


PART = Part(
    config=CONFIGS / 'segmenter_smollm2_digits.py',
    metrics=('mIoU', 'aAcc'),
    make_data=lambda out, sizes: make_digits_segmentation(canvas_folder(out, sizes, 'ade'), sizes.canvases,
                                                          sizes.validation_canvases),
    options=options,
    data=CANVASES + ' with masks',
    note='Predicted masks beside the truth: {out}/predictions.png',
    draw=lambda runs, data, out: draw_predictions(runs, data, out / 'predictions.png'))
