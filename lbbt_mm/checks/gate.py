"""The one gate before a run: its settings, then its data sets."""
import gc
import logging
from contextlib import contextmanager
from typing import Iterator, Sequence

from mmengine.config import Config
from mmengine.logging import print_log

from .coco import coco_problems
from .coco_file import hand_over_to_mmdet
from .datasets import TRAINING_LOADERS
from .feature_pairs import feature_pair_problems
from .image_files import SAMPLE, Budget
from .image_folders import label_problems
from .metrics import check_metrics
from .options import check_names
from .problems import Problem
from .segmentation import segmentation_problems
from .tta import tta_problems
from .values import check_values

#: So many new ones come from large annotation files alone
_MANY_OBJECTS = 200_000

#: What is checked of data sets before any run
CHECKS = (coco_problems, label_problems, segmentation_problems, feature_pair_problems)


def _tta_problems(cfg: Config, loaders: Sequence[str], budget: Budget) -> Iterator[Problem]:
    """Of a report alone: only a test with augmentation reads ``tta_pipeline``, and it checks that itself."""
    return tta_problems(cfg, [loader for loader in loaders if loader != 'train_dataloader'], budget)


def check_settings(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS) -> None:
    """Check what a run's config says, without its files.

    Args:
        cfg: The run's config.
        loaders: Which data loaders the run uses.

    Raises:
        ValueError: If nothing reads a setting, no run can have its value, or a metric is watched that is not measured.
    """
    check_names(cfg)
    check_values(cfg, loaders)
    check_metrics(cfg, loaders)


def find_problems(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS,
                  budget: Budget = SAMPLE) -> Iterator[Problem]:
    """Run all checks of data sets for a report, each by what its task needs; that of test-time augmentation too.

    Args:
        cfg: The run's config.
        loaders: Which data loaders the run uses.
        budget: How many images and masks to open.

    Yields:
        Problem: What does not fit.
    """
    for check in (*CHECKS, _tta_problems):
        try:
            yield from check(cfg, loaders, budget)
        except (FileNotFoundError, ValueError) as error:
            yield Problem('', str(error), True)


def check_datasets(cfg: Config, loaders: Sequence[str] = TRAINING_LOADERS) -> None:
    """Check the datasets of a run before it starts: files whole, images and masks by an evenly spaced sample.

    What cannot be used is said in the log, a line each.

    Args:
        cfg: The run's config.
        loaders: Which data loaders the run uses.

    Raises:
        FileNotFoundError: If files or folders are absent.
        ValueError: If annotations and model disagree, or nothing of a data set can be used.
    """
    hand_over_to_mmdet()
    with _without_collection():
        raise_fatal(problem for check in CHECKS for problem in check(cfg, loaders, SAMPLE))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep Python from walking through millions of parsed objects again and again; none of them are in a circle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > _MANY_OBJECTS:
            gc.freeze()  # or the next allocation walks through them all: a second and more
        if enabled:
            gc.enable()


def raise_fatal(problems: Iterator[Problem]) -> None:
    """Say what a run can go on with, and raise the first that it cannot.

    Raises:
        ValueError: What a run cannot go on with.
    """
    for problem in problems:
        if problem.fatal:
            raise ValueError(str(problem))
        print_log(str(problem), logger='current', level=logging.WARNING)
