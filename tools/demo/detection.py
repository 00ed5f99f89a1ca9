"""The detection part: LanguageDETR on SmolLM2's blocks beside the same detector with DETR's own start."""
import argparse
from pathlib import Path
from typing import Dict

from rich.console import Console

from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.launch.config_options import option
from lbbt_mm.runs.training_run import TrainingRun
from tools.demo.arms import Comparison, compare, data_options, make_data, quiet, save_figure

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'demo' / 'detr_smollm2_digits.py'
#: Epochs and training canvases of the small demo; the config has more.
EPOCHS, CANVASES, ALL_CANVASES = 3, 1600, 5000


def run(args: argparse.Namespace, checkpoint: Path, console: Console) -> None:
    """Compare both starts, and draw what the first seed's detectors find.

    Args:
        args: The demo's arguments.
        checkpoint: The language model.
        console: Where to print.
    """
    canvases = args.canvases or (ALL_CANVASES if args.full else CANVASES)
    data = make_data(make_digits_detection, args.out / f'digits_coco-{canvases}', num_train=canvases)
    console.print(f'Data: {canvases} training and 200 validation canvases of handwritten digits in {data}', soft_wrap=True,
                  highlight=False)
    epochs = args.epochs or (None if args.full else EPOCHS)
    options = [option('model.language.checkpoint', checkpoint),
               *data_options(data, 'annotations/instances_val2017.json')]
    if epochs:
        options += [f'train_cfg.max_epochs={epochs}', f'param_scheduler.1.milestones=[{epochs - 1}]']
    out = args.out / 'detection'
    runs = compare(Comparison(CONFIG, ('language', 'host'), ('coco/bbox_mAP_50', 'coco/bbox_mAP'), options), out, args.seeds,
                   args.fresh)
    draw_predictions(runs, data, out / 'predictions.png')
    console.print(f'Predicted boxes: {out / "predictions.png"}', soft_wrap=True, highlight=False)


def draw_predictions(runs: Dict[str, TrainingRun], data: Path, path: Path, columns: int = 6, threshold: float = 0.5) -> None:
    """Draw the boxes that each arm predicts for some validation canvases.

    Args:
        runs: Arm -> its run.
        data: The data set.
        path: Picture to write.
        columns: Number of canvases, a column each; a row an arm.
        threshold: Lowest score that is drawn.
    """
    import cv2
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    images = sorted((data / 'val2017').glob('*.png'))[:columns]
    figure, axes = plt.subplots(len(runs), columns, figsize=(2.2 * columns, 2.5 * len(runs)), layout='constrained')
    for row, (arm, run) in zip(axes, runs.items()):
        refuse_unsafe_checkpoints([str(run.checkpoint())], trust=False)  # mmengine's own loader runs code
        with quiet():
            from mmdet.apis import DetInferencer
            inferencer = DetInferencer(str(run.work_dir / CONFIG.name), str(run.checkpoint()), device='cpu',
                                       show_progress=False)
            predictions = inferencer([str(image) for image in images], no_save_vis=True)['predictions']
        for cell, image, prediction in zip(row, images, predictions):
            cell.imshow(cv2.imread(str(image)))
            cell.set_axis_off()
            for box, label, score in zip(prediction['bboxes'], prediction['labels'], prediction['scores']):
                if score >= threshold:
                    x1, y1, x2, y2 = box
                    cell.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color='lime'))
                    cell.text(x1 + 1, y1 + 1, f'{label} {score:.2f}', color='yellow', fontsize=7, va='top')
        row[0].set_title(f'arm {arm}', loc='left')
    save_figure(figure, path)
