"""A segmentation set of a few coloured rectangles in the ADE20K layout, and a Segmenter that learns it in seconds."""
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Optional

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from tests.tiny_checkpoints import CONFIGS
from tests.tiny_detection import REPO

#: The first class is the ground; masks hold 1 for it, 2 to 4 for the others, 0 where a pixel is ignored.
CLASSES = ('ground', 'red', 'green', 'blue')
_COLOURS = ((40, 40, 220), (40, 200, 40), (220, 60, 40))  # as OpenCV orders channels


def write_dataset(root: Path, num_train: int = 12, num_val: int = 4, width: int = 64, height: int = 48) -> Path:
    """Write a data set in the ADE20K layout; the same arguments give the same files.

    Args:
        root: Its folder.
        num_train: Number of training images.
        num_val: Number of validation images.
        width: Width of the images in pixels.
        height: Their height.

    Returns:
        Path: ``root``.
    """
    rng = np.random.default_rng(0)
    for split, count in (('training', num_train), ('validation', num_val)):
        for folder in ('images', 'annotations'):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            picture = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
            mask = np.ones((height, width), np.uint8)
            mask[:2] = 0
            for _ in range(3):
                category = int(rng.integers(3))
                w, h = (int(side) for side in rng.integers(14, 25, 2))
                x, y = int(rng.integers(width - w)), int(rng.integers(2, height - h))
                picture[y:y + h, x:x + w] = _COLOURS[category]
                mask[y:y + h, x:x + w] = category + 2
            cv2.imwrite(str(root / 'images' / split / f'{number:03d}.jpg'), picture)
            cv2.imwrite(str(root / 'annotations' / split / f'{number:03d}.png'), mask)
    return root


def run_config(data_root: Any = 'data/nowhere', model_type: str = 'gpt2', language: Optional[Dict[str, Any]] = None,
               **overrides) -> Config:
    """The small preset made tiny: two blocks of a tiny language model, float32, no augmentation, whole images.

    Args:
        data_root: The data set.
        model_type: Key of :data:`tests.tiny_checkpoints.CONFIGS`.
        language: Entries of the ``language`` dict that differ.
        **overrides: Merged into the config, dotted keys written with ``__``.
    """
    cfg = deepcopy(_small_preset())
    cfg.model.decode_head.language = dict(
        checkpoint='nowhere/none', config=deepcopy(CONFIGS[model_type]), blocks='1:3', arm='language', seed=0)
    cfg.model.decode_head.language.update(language or {})
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(data_root)
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in overrides.items()})
    return cfg


@lru_cache(maxsize=None)
def _small_preset() -> Config:
    cfg = Config.fromfile(REPO / 'configs' / 'small' / 'segmenter_gpt2_ade20k.py')
    resize = dict(type='Resize', scale=(32, 32))
    load, truth, pack = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')
    cfg.model.backbone.update(img_size=(32, 32), embed_dims=24, num_heads=3, num_layers=2)
    cfg.model.data_preprocessor.size = (32, 32)
    cfg.model.decode_head.update(in_channels=24, num_classes=len(CLASSES))
    cfg.model.test_cfg = dict(mode='whole')
    for name, pipeline in (('train', [load, truth, resize, pack]), ('val', [load, resize, truth, pack]),
                           ('test', [load, resize, truth, pack])):
        loader = cfg[f'{name}_dataloader']
        loader.update(batch_size=4 if name == 'train' else 1, num_workers=0, persistent_workers=False)
        loader.dataset.update(metainfo=dict(classes=CLASSES), pipeline=pipeline)
    cfg.tta_pipeline[1].transforms[0] = [dict(type='Resize', scale=(side, side)) for side in (24, 32, 40)]
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-3))
    cfg.param_scheduler = None
    cfg.val_cfg, cfg.test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
    cfg.train_cfg.update(max_iters=6, val_interval=100)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1, save_best=None)
    return cfg


def augmentation() -> list:
    """A training pipeline that draws random numbers: sizes, crops, flips and colours."""
    return [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='RandomResize', scale=(64, 48), ratio_range=(0.75, 1.5), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(32, 32), cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs')
    ]


def build_segmentor(*args, **kwargs) -> nn.Module:
    """Build the model of :func:`run_config`, which takes the same arguments."""
    return MODELS.build(run_config(*args, **kwargs).model)


def batch_of(count: int = 2, size: int = 32) -> Dict[str, list]:
    """A batch as a data loader gives it, with random images and masks."""
    samples = []
    for _ in range(count):
        sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, len(CLASSES), (1, size, size))))
        sample.set_metainfo(dict(img_shape=(size, size), ori_shape=(size, size), img_path='nowhere'))
        samples.append(sample)
    return dict(inputs=[torch.randint(0, 255, (3, size, size), dtype=torch.uint8) for _ in samples], data_samples=samples)


def mask_of(root, number=1):
    return root / 'annotations' / 'training' / f'{number:03d}.png'


def rewrite_mask(root, change, number=1):
    mask = cv2.imread(str(mask_of(root, number)), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(mask_of(root, number)), change(mask))
