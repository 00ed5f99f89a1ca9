"""A bridge with a tiny GPT-2, trained by our own tool until it has learned its random labels."""
from pathlib import Path

from tests.image_folders import write_image_folder
from tests.tool_processes import REPO, run_tool

IMAGES = 12


def train_bridge(folder: Path, *options: str, model_type: str = 'gpt2', kept: int = 1) -> Path:
    """Train a bridge; returns the run's folder.

    Args:
        folder: Where its data and its work directory are made.
        *options: Further ``--cfg-options``.
        model_type: Family of its language model.
        kept: How many of its checkpoints are kept.
    """
    from tests.tiny_checkpoints import build_model
    if not (folder / 'data').exists():
        write_image_folder(folder / 'data' / 'train', dict(cat=IMAGES // 2, dog=IMAGES // 2), size=8)
        write_image_folder(folder / 'data' / 'test', dict(cat=2, dog=2), size=8, seed=1)
    language = folder / model_type
    if not language.exists():
        build_model(model_type).save_pretrained(language)
    work = folder / f'work{len(list(folder.glob("work*")))}'
    done = run_tool(
        'train.py', REPO / 'configs' / 'small' / 'bridge_gpt2_imagefolder.py', '--work-dir', work, '--cfg-options',
        f'model.backbone.language.checkpoint={language}', 'model.backbone.language.config=None',
        'model.backbone.language.blocks=0:2', 'model.backbone.img_size=8', 'images.1.scale=(8,8)', 'randomness.seed=3',
        'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False', 'train_cfg.max_epochs=30', 'train_cfg.val_interval=30',
        'optim_wrapper.optimizer.lr=3e-3', 'default_hooks.checkpoint.interval=10',
        f'default_hooks.checkpoint.max_keep_ckpts={kept}', 'default_hooks.checkpoint.save_best=None', *options,
        LBBT_DATA_ROOT=folder / 'data', LBBT_NUM_CLASSES=2)
    assert done.returncode == 0, done.output
    return work
