"""The detection part of ``demo.py``: LanguageDETR on SmolLM2's blocks beside the same detector with DETR's own start."""
import time
from pathlib import Path
from typing import Dict, List, Optional

from rich.console import Console

from lbbt_mm.data_makers.digits_to_coco import make_digits_detection
from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.launch.config_options import option
from lbbt_mm.runs.training_run import TrainingRun
from tools.demo.arms import ARMS, make_data, plot_curves, quiet_logging, save_figure, score_table, train_arms

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'demo' / 'detr_smollm2_digits.py'


def run_detection_demo(out: Path, checkpoint: Path, console: Console, epochs: Optional[int] = None,
                       canvases: int = 5000, fresh: bool = False) -> None:
    """Make the data, train both arms at the same time, print their scores and write the pictures.

    Args:
        out: The demo's folder.
        checkpoint: The language model.
        console: Where to print.
        epochs: Number of epochs; None for the config's.
        canvases: Number of training canvases.
        fresh: Whether to remove the runs that are there, and start again.
    """
    started = time.monotonic()
    data = make_data(make_digits_detection, out / f'digits_coco-{canvases}', num_train=canvases)
    console.print(f'Data: {canvases} training and 200 validation canvases of handwritten digits in {data}', soft_wrap=True)
    runs = {arm: TrainingRun(CONFIG, out / 'detection' / arm, train_options(arm, data, checkpoint, epochs)) for arm in ARMS}
    train_arms(runs, out / 'detection', console, fresh)
    report(runs, out / 'detection', data, console)
    console.print(f'{(time.monotonic() - started) / 60:.1f} minutes in this call.')


def train_options(arm: str, data: Path, checkpoint: Path, epochs: Optional[int]) -> List[str]:
    """What differs from the config."""
    options = [f'model.language.arm={arm}', option('model.language.checkpoint', checkpoint)]
    options += [option(f'{name}_dataloader.dataset.data_root', data) for name in ('train', 'val', 'test')]
    annotations = data / 'annotations' / 'instances_val2017.json'
    options += [option(f'{name}_evaluator.ann_file', annotations) for name in ('val', 'test')]
    if epochs:
        options += [f'train_cfg.max_epochs={epochs}', f'param_scheduler.1.milestones=[{epochs - 1}]']
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
    metrics = dict(mAP='coco/bbox_mAP', mAP50='coco/bbox_mAP_50', mAP75='coco/bbox_mAP_75')
    console.print(score_table(scalars, metrics, digits=3))
    curves, page = out / 'curves.png', out / 'predictions.png'
    plot_curves(scalars, curves, 'coco/bbox_mAP_50', 'mAP50', 'epoch')
    draw_predictions(runs, data, page)
    console.print(f'Curves: {curves}\nPredicted boxes: {page}', soft_wrap=True)


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
    from mmdet.apis import DetInferencer
    images = sorted((data / 'val2017').glob('*.png'))[:columns]
    figure, axes = plt.subplots(len(runs), columns, figsize=(2.2 * columns, 2.5 * len(runs)), layout='constrained')
    for row, (arm, run) in zip(axes, runs.items()):
        refuse_unsafe_checkpoints([str(run.checkpoint())], trust=False)  # mmengine's own loader runs code
        with quiet_logging():
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
