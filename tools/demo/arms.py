"""What the demo's detection and segmentation parts share: training both arms, their table and figure, quiet inference."""
import logging
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

from rich.console import Console
from rich.table import Table

from lbbt_mm.experiments.results_folder import claim_results
from lbbt_mm.files.whole_files import whole_file
from lbbt_mm.runs.fresh_start import clear_runs
from lbbt_mm.runs.training_pool import Chain, TrainingPool
from lbbt_mm.runs.training_run import TrainingFailed, TrainingRun

ARMS = ('language', 'host')


#: The pictures of a part, in its folder.
PICTURES = ('curves.png', 'predictions.png')


def make_data(make: Callable[..., Path], out: Path, **sizes: int) -> Path:
    """Make a part's data set, or end the demo where its folder holds something else.

    Args:
        make: Makes it, as the functions of ``tools/dataset_converters/`` do.
        out: Its folder.
        **sizes: Given to ``make``.
    """
    try:
        return make(out, **sizes)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


def train_arms(runs: Mapping[str, TrainingRun], out: Path, console: Console, fresh: bool = False) -> None:
    """Train all arms at the same time, or end the demo with what went wrong.

    Args:
        runs: Arm -> its run.
        out: Folder of the runs, where the pictures will go.
        console: Where the progress goes.
        fresh: Whether to remove the runs that are there, and start again.
    """
    try:
        claim_results(out, 'demo.py', PICTURES, ARMS)
        if fresh:
            clear_runs(list(runs.values()), console)
    except (OSError, ValueError, TrainingFailed) as error:
        sys.exit(str(error))
    # small matrices gain little from a second core: each arm gets its share of the cores
    failures = TrainingPool(len(runs), console=console).run(
        [Chain(arm, [partial(lambda run: run, run)]) for arm, run in runs.items()])
    if failures:
        sys.exit('\n'.join(failures))


def score_table(scalars: Mapping[str, Mapping[str, List[Dict[str, Any]]]], metrics: Mapping[str, str],
                digits: int) -> Table:
    """The last scores of each arm.

    Args:
        scalars: Arm -> the records of its run.
        metrics: Title of a column -> key of the metric in the validation records.
        digits: After the decimal point.
    """
    table = Table(title='Digits, 200 validation canvases, one seed')
    for column in ('arm', *metrics, 'final loss'):
        table.add_column(column, justify='left' if column == 'arm' else 'right')
    for arm, records in scalars.items():
        table.add_row(arm, *(f'{records["val"][-1][key]:.{digits}f}' for key in metrics.values()),
                      f'{records["train"][-1]["loss"]:.2f}')
    return table


def plot_curves(scalars: Dict[str, Dict[str, List[Dict[str, Any]]]], path: Path, metric: str, name: str, step: str,
                limits: Tuple[float, float] = (0, 1)) -> None:
    """Draw training loss over iterations and a validation metric, a line an arm.

    Args:
        scalars: Arm -> the records of its run.
        path: Picture to write.
        metric: Key of the metric in the validation records.
        name: What the figure calls it.
        step: What a validation's step counts.
        limits: Range of the metric.
    """
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for arm, records in scalars.items():
        left.plot([r['step'] for r in records['train']], [r['loss'] for r in records['train']], label=arm)
        right.plot([r['step'] for r in records['val']], [r[metric] for r in records['val']], marker='o', label=arm)
    left.set(xlabel='iteration', ylabel='training loss', yscale='log')
    right.set(xlabel=step, ylabel=f'validation {name}', ylim=limits)
    for axes in (left, right):
        axes.legend(title='arm')
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure, whole or not at all, and close it.

    Args:
        figure: A figure of pyplot.
        path: Picture to write.
    """
    import matplotlib.pyplot as plt
    with whole_file(path) as file:
        figure.savefig(file, dpi=120, format='png')
    plt.close(figure)


@contextmanager
def quiet_logging() -> Iterator[None]:
    """Leave out what mm's inferencers say while they load a model."""
    level = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(level)
