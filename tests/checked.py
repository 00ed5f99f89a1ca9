"""What the checks before a run say of a config."""
from lbbt_mm.checks import raise_fatal
from lbbt_mm.checks.coco import coco_problems
from lbbt_mm.checks.segmentation import segmentation_problems
from tests.tiny_segmentation import run_config


def check_coco_datasets(cfg, **options) -> None:
    raise_fatal(coco_problems(cfg, **options))


def said(cfg, **options) -> list:
    """Of a detection set, a line each."""
    return [str(problem) for problem in coco_problems(cfg, **options)]


def check_segmentation(cfg, *arguments) -> None:
    raise_fatal(segmentation_problems(cfg, *arguments))


def check(root, **overrides) -> None:
    """Check a run on a segmentation set."""
    check_segmentation(run_config(root, **overrides))


def training_alone(root, **overrides):
    """A config whose other data sets, which would have to mean the same, are left out."""
    cfg = run_config(root, **overrides)
    for name in ('val', 'test'):
        cfg.pop(f'{name}_dataloader')
    return cfg
