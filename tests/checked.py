"""What the checks before a run say of a config."""
from lbbt_mm.checks import raise_fatal
from lbbt_mm.checks.coco import coco_problems
from lbbt_mm.checks.datasets import TRAINING_LOADERS
from lbbt_mm.checks.image_files import SAMPLE
from lbbt_mm.checks.image_folders import label_problems
from lbbt_mm.checks.segmentation import segmentation_problems
from tests.tiny_segmentation import run_config


def said(cfg, loaders=TRAINING_LOADERS, of=coco_problems) -> list:
    """Of a detection set, or one of another kind, a line each."""
    return [str(problem) for problem in of(cfg, loaders, SAMPLE)]


def check_coco_datasets(cfg, loaders=TRAINING_LOADERS) -> None:
    raise_fatal(coco_problems(cfg, loaders, SAMPLE))


def check_segmentation(cfg, loaders=TRAINING_LOADERS) -> None:
    raise_fatal(segmentation_problems(cfg, loaders, SAMPLE))


def check_images(cfg) -> None:
    raise_fatal(label_problems(cfg, TRAINING_LOADERS, SAMPLE))


def check(root, **overrides) -> None:
    """Check a run on a segmentation set."""
    check_segmentation(run_config(root, **overrides))


def training_alone(root, **overrides):
    """A config whose other data sets, which would have to mean the same, are left out."""
    cfg = run_config(root, **overrides)
    for name in ('val', 'test'):
        cfg.pop(f'{name}_dataloader')
    return cfg
