"""A ShareLock run in miniature: small stores of features, and a config of the shipped base for them."""
from pathlib import Path
from typing import Any

from mmengine.config import Config

from tests.feature_stores import write_pairs
from tests.tool_processes import REPO


def run_config(folder: Path, batch_size: int = 8, **options: Any) -> Config:
    """A run of a few steps; dots of keys are written as double underscores."""
    stores = write_pairs(folder, num_images=40, captions=[1, 3] * 20)
    cfg = Config.fromfile(REPO / 'configs' / 'small' / 'sharelock_emoji.py')
    cfg.merge_from_dict({
        'model.text_projection': dict(in_channels=10, out_channels=6, hidden_channels=16),
        'train_dataloader.batch_size': batch_size, 'train_dataloader.sampler.batch_size': batch_size,
        'train_cfg': dict(max_iters=12, val_interval=3), 'default_hooks.checkpoint.interval': 3,
        'default_hooks.checkpoint.max_keep_ckpts': -1, 'default_hooks.logger.interval': 1, 'param_scheduler.0.end': 4,
        'param_scheduler.1.begin': 4})
    for loader in ('train', 'val', 'test'):
        dataset = cfg[f'{loader}_dataloader'].dataset
        dataset.update(**stores, val_share=0.3)
        dataset.image_expected, dataset.text_expected = {}, {}
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return cfg
