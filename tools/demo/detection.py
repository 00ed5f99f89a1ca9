"""The detection part: LanguageDETR on SmolLM2's blocks beside the same detector with DETR's own start."""
from pathlib import Path
from typing import List

from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
from lbbt_mm.launch.config_options import option
from tools.demo.part import CANVASES, CONFIGS, Part, Runs, canvas_folder, infer, length, new_figure, save_figure
from tools.demo.sizes import Sizes


def options(checkpoint: Path, sizes: Sizes) -> List[str]:
    """Overrides of the config."""
    epochs = sizes.detection_epochs
    given = [option('model.language.checkpoint', checkpoint), f'train_dataloader.batch_size={sizes.detection_batch}',
             f'model.num_queries={sizes.detection_queries}', f'model.test_cfg.max_per_img={sizes.detection_queries}']
    if epochs:
        given += [*length(epochs), f'param_scheduler.1.milestones=[{epochs - 1}]']
    return given


def draw_predictions(runs: Runs, data: Path, path: Path, columns: int = 6, threshold: float = 0.3) -> None:
    """Draw the boxes that each arm predicts for some validation canvases.

    Args:
        runs: Arm -> its run.
        data: The data set.
        path: Picture to write.
        columns: Number of canvases, one in each column; each arm has a row.
        threshold: Lowest score that is drawn.
    """
    import cv2
    images = sorted((data / 'val2017').glob('*.png'))[:columns]
    found = {arm: infer('mmdet.apis.DetInferencer', run, images, no_save_vis=True)[0] for arm, run in runs.items()}
    figure, axes = new_figure(len(found), columns, 2.2, 2.5)
    from matplotlib.patches import Rectangle
    for row, (arm, predictions) in zip(axes, found.items()):
        row[0].set_title(f'arm {arm}', loc='left')
        for cell, image, prediction in zip(row, images, predictions):
            cell.imshow(cv2.imread(str(image)))
            for box, label, score in zip(prediction['bboxes'], prediction['labels'], prediction['scores']):
                if score >= threshold:
                    x1, y1, x2, y2 = box
                    cell.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color='lime'))
                    cell.text(x1 + 1, y1 + 1, f'{label} {score:.2f}', color='yellow', fontsize=7, va='top')
    save_figure(figure, path)


PART = Part(
    config=CONFIGS / 'detr_smollm2_digits.py',
    metrics=('coco/bbox_mAP_50', 'coco/bbox_mAP'),
    make_data=lambda out, sizes: make_digits_detection(canvas_folder(out, sizes, 'coco'), sizes.canvases,
                                                       sizes.validation_canvases),
    options=options,
    data=CANVASES + ' with boxes',
    note='Predicted boxes: {out}/predictions.png',
    draw=lambda runs, data, out: draw_predictions(runs, data, out / 'predictions.png'))
