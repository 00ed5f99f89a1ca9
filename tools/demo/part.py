"""What the demo's parts share: data, a comparison of two arms over seeds, pictures."""
import argparse
import logging
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mmengine.device import get_device
from rich.console import Console

from lbbt_mm.experiments.compare_arms import main as compare_arms
from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.files.whole_files import whole_file
from lbbt_mm.launch.quiet_imports import quiet, quiet_logs
from lbbt_mm.registry import type_name
from lbbt_mm.runs.folder_names import FolderName
from lbbt_mm.runs.run_request import read_config
from lbbt_mm.runs.training_run import TrainingRun
from tools.demo.sizes import Sizes

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'demo'
CANVASES = '{canvases} training and {validation_canvases} validation canvases of handwritten digits'
Runs = Dict[str, TrainingRun]


class Part(NamedTuple):
    """A part of the demo.

    Attributes:
        config: The config file.
        metrics: What is measured.
        make_data: Makes the data set in the demo's folder with some sizes.
        options: Overrides of the config for a language model and some sizes.
        data: What the data are; names of sizes in braces.
        note: Said at the end; ``{out}`` is the part's folder.
        arms: The arms, the one that the others are compared with last; where there are none, those of the sizes.
        more: Further arguments of ``compare_arms.py`` for some sizes.
        draw: Draws pictures of each arm's run with the first seed, for a data set, into the part's folder.
    """
    config: Path
    metrics: Sequence[str]
    make_data: Callable[[Path, Sizes], Path]
    options: Callable[[Path, Sizes], List[str]]
    data: str
    note: str
    arms: Sequence[str] = ('language', 'host')
    more: Callable[[Sizes], List[str]] = lambda sizes: []
    draw: Optional[Callable[[Runs, Path, Path], None]] = None


def run_part(part: Part, name: str, args: argparse.Namespace, checkpoint: Path, console: Console) -> None:
    """Make a part's data, train its arms with each seed, print what came out, and draw.

    Args:
        part: The part.
        name: Its folder in ``args.out``.
        args: The demo's arguments, ``sizes`` among them.
        checkpoint: The language model.
        console: Where to print.
    """
    begun = time.monotonic()
    console.rule(name)
    try:
        data = part.make_data(args.out, args.sizes)
    except (OSError, ValueError) as error:  # its folder holds something else
        sys.exit(str(error))
    console.print(f'Data: {part.data.format(**args.sizes._asdict())}, in {data}', soft_wrap=True, highlight=False)
    os.environ['LBBT_DATA_ROOT'] = str(data)  # from where configs take it
    out = args.out / name
    precision = quick_precision(part.config)
    if precision:
        console.print('This processor has no instructions for bfloat16: the trainings are in float32.', highlight=False)
    runs = compare(part.config, part.arms or args.sizes.bridge_arms, part.metrics,
                   [*part.options(checkpoint, args.sizes), *precision], out, args.seeds, args.fresh, part.more(args.sizes))
    if part.draw:
        part.draw(runs, data, out)
    console.print(part.note.format(out=out), soft_wrap=True, highlight=False)
    console.print(f'{(time.monotonic() - begun) / 60:.1f} minutes.', highlight=False)


def compare(config: Path, arms: Sequence[str], metrics: Sequence[str], options: Sequence[str], out: Path,
            seeds: Sequence[int], fresh: bool = False, more: Sequence[str] = ()) -> Runs:
    """Train the arms with each seed, as many at a time as there are cores, and print what came out.

    Args:
        config: The config file.
        arms: The arms, the one that the others are compared with last.
        metrics: What is measured.
        options: Overrides of the config.
        out: Folder of the experiment.
        seeds: The seeds.
        fresh: Whether to remove the runs that are there, and start again.
        more: Further arguments of ``compare_arms.py``.

    Returns:
        dict: Arm -> its run with the first seed, for pictures.
    """
    jobs = min(len(os.sched_getaffinity(0)), len(arms) * len(seeds))  # on two cores two trainings of one thread each
    with quiet_logs(logging.INFO):  # of checks that found nothing
        failed = compare_arms([
            str(config), '--out', str(out), '--arms', *arms, '--baseline-arm', arms[-1], '--seeds', *map(str, seeds),
            '--jobs', str(jobs), '--metric', *metrics, *more, *(['--fresh'] if fresh else []), '--cfg-options', *options])
    if failed:
        sys.exit(failed)
    names = {path: FolderName.read(path.name) for path in (out / 'runs').iterdir()}
    return {arm: TrainingRun(config, next(path for path, name in names.items() if name and name[:2] == (arm, seeds[0])))
            for arm in arms}


def quick_precision(config: Path) -> List[str]:
    """Overrides of a config that trains in bfloat16 where that takes several times as long as float32; else none.

    Args:
        config: The config file.
    """
    from lbbt_mm.engine.optim_wrappers.autocast_optim_wrapper import lacks_bfloat16
    cfg = read_config(config)
    if type_name(cfg.optim_wrapper) != 'AutocastOptimWrapper' or get_device() != 'cpu' or not lacks_bfloat16():
        return []
    loops = [name for name in ('val_cfg', 'test_cfg') if (cfg.get(name) or {}).get('fp16')]
    return ['optim_wrapper.type=OptimWrapper', *(f'{name}.fp16=False' for name in loops)]


def canvas_folder(out: Path, sizes: Sizes, layout: str) -> Path:
    """The folder of a data set of canvases; its name says how many there are."""
    return out / f'digits_{layout}-{sizes.canvases}-{sizes.validation_canvases}'


def length(epochs: Optional[int]) -> List[str]:
    """Overrides for a length, measured at its end; none for the config's own. The schedules follow."""
    return [] if epochs is None else [f'train_cfg.max_epochs={epochs}', f'train_cfg.val_interval={epochs}']


def infer(inferencer: str, run: TrainingRun, images: Sequence[Path], **options: Any) -> Tuple[List[Any], dict]:
    """What a run's last checkpoint predicts.

    Args:
        inferencer: mm's inferencer, ``MODULE.NAME``.
        run: The run.
        images: Image files.
        **options: Of the inferencer's call.

    Returns:
        tuple[list, dict]: A prediction for each image, and the data set's classes and colours.

    Raises:
        ValueError: If the checkpoint holds more than tensors: mmengine's own loader would run it.
    """
    refuse_unsafe_checkpoints([str(run.checkpoint())], trust=False)
    with quiet():
        module, name = inferencer.rsplit('.', 1)
        loaded = getattr(import_module(module), name)(
            str(run.work_dir / run.config.name), str(run.checkpoint()), device='cpu', show_progress=False)
        return loaded([str(image) for image in images], **options)['predictions'], loaded.model.dataset_meta


def new_figure(rows: int, columns: int, width: float, height: float) -> Tuple[Any, Any]:
    """A figure without a display, and its axes without ticks, as an array of ``rows`` by ``columns``.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        width: Inches of a column.
        height: Inches of a row.
    """
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width * columns, height * rows), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for cell in axes.flat:
        cell.set_axis_off()
    return figure, axes


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure, whole or not at all.

    Args:
        figure: A figure of matplotlib.
        path: Picture to write.
    """
    with whole_file(path) as file:
        figure.savefig(file, dpi=120, format='png')
