"""What the demo's parts share: data, a comparison of two arms over seeds, pictures, quiet inference."""
import io
import logging
import os
import sys
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence

from lbbt_mm.experiments.compare_arms import main as compare_arms
from lbbt_mm.files.whole_files import whole_file
from lbbt_mm.runs.training_run import TrainingRun


class Comparison(NamedTuple):
    """What a part compares.

    Attributes:
        config: The config file.
        arms: Two arms, the one that the other is compared with last.
        metrics: What is measured.
        options: Overrides of the config.
        more: Further arguments of ``compare_arms.py``.
    """
    config: Path
    arms: Sequence[str]
    metrics: Sequence[str]
    options: Sequence[str]
    more: Sequence[str] = ()


def make_data(make: Callable[..., Path], out: Path, **sizes: int) -> Path:
    """Make a part's data set, or end the demo where its folder holds something else.

    Args:
        make: Makes it, as the functions of :mod:`lbbt_mm.data_makers` do.
        out: Its folder.
        **sizes: Given to ``make``.
    """
    try:
        return make(out, **sizes)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


def compare(comparison: Comparison, out: Path, seeds: Sequence[int], fresh: bool = False) -> Dict[str, TrainingRun]:
    """Train both arms with each seed, as many at a time as there are cores, and print what came out.

    Args:
        comparison: What is compared.
        out: Folder of the experiment.
        seeds: The seeds.
        fresh: Whether to remove the runs that are there, and start again.

    Returns:
        dict: Arm -> its run with the first seed, for pictures.
    """
    arms = list(comparison.arms)
    failed = compare_arms([
        str(comparison.config), '--out', str(out), '--arms', *arms, '--baseline-arm', arms[-1], '--seeds', *map(str, seeds),
        '--jobs', str(len(os.sched_getaffinity(0))), '--metric', *comparison.metrics, *comparison.more,
        *(['--fresh'] if fresh else []), '--cfg-options', *comparison.options])
    if failed:
        sys.exit(failed)
    return {arm: TrainingRun(comparison.config, next((out / 'runs').glob(f'{arm}-seed{seeds[0]}*'))) for arm in arms}


def data_options(data: Path, *evaluated: str) -> List[str]:
    """Overrides that say where all data sets of a config are, and files that evaluators compare with."""
    from lbbt_mm.launch.config_options import option
    return [*(option(f'{name}_dataloader.dataset.data_root', data) for name in ('train', 'val', 'test')),
            *(option(f'{name}_evaluator.ann_file', data / file) for name in ('val', 'test') for file in evaluated)]


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
def quiet() -> Iterator[None]:
    """Leave out what mm's inferencers say and warn of while they load a model and use it."""
    level = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)
