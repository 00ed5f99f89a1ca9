"""What the demo's detection and segmentation parts share: their figure, and quiet inference."""
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple


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
    figure.savefig(path, dpi=120)
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
