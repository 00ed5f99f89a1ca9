"""A detection set of a few coloured rectangles, and a LanguageDETR that learns it in seconds: real parts, small sizes."""
import json
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import cv2
import numpy as np
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from torch import nn

from tests.tiny_checkpoints import CONFIGS

REPO = Path(__file__).resolve().parent.parent
CLASSES = ('red', 'green', 'blue')
_COLOURS = ((40, 40, 220), (40, 200, 40), (220, 60, 40))  # as OpenCV orders channels


def write_dataset(root: Path, num_train: int = 12, num_val: int = 5,
                  sizes: Sequence[Tuple[int, int]] = ((64, 48), )) -> Path:
    """Write a data set in the COCO layout; the same arguments give the same files.

    Args:
        root: Its folder.
        num_train: Number of training images.
        num_val: Number of validation images.
        sizes: (width, height) of the images, in turn.

    Returns:
        Path: ``root``.
    """
    rng = np.random.default_rng(0)
    (root / 'annotations').mkdir(parents=True)
    for split, count in (('train', num_train), ('val', num_val)):
        (root / f'{split}2017').mkdir()
        images, annotations = [], []
        for number in range(count):
            width, height = sizes[number % len(sizes)]
            picture = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
            images.append(dict(id=number + 1, file_name=f'{number:03d}.png', width=width, height=height))
            for _ in range(rng.integers(1, 4)):
                category = int(rng.integers(3))
                w, h = (int(side) for side in rng.integers(14, 25, 2))
                x, y = int(rng.integers(width - w)), int(rng.integers(height - h))
                picture[y:y + h, x:x + w] = _COLOURS[category]
                annotations.append(dict(id=len(annotations) + 1, image_id=number + 1, category_id=category + 1,
                                        bbox=[x, y, w, h], area=w * h, iscrowd=0))
            cv2.imwrite(str(root / f'{split}2017' / f'{number:03d}.png'), picture)
        categories = [dict(id=number + 1, name=name) for number, name in enumerate(CLASSES)]
        (root / 'annotations' / f'instances_{split}2017.json').write_text(
            json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return root


def run_config(data_root: Any = 'data/nowhere', model_type: str = 'gpt2', language: Optional[Dict[str, Any]] = None,
               **overrides) -> Config:
    """The small preset made tiny: 2 + 2 blocks of a tiny language model, float32, three epochs, no augmentation.

    Args:
        data_root: The data set.
        model_type: Key of :data:`tests.tiny_checkpoints.CONFIGS`.
        language: Entries of the ``language`` dict that differ.
        **overrides: Merged into the config, dotted keys written with ``__``.
    """
    cfg = deepcopy(_small_preset())
    cfg.model.language = dict(
        checkpoint='nowhere/none', config=deepcopy(CONFIGS[model_type]), encoder_blocks='0:2', decoder_blocks='1:3',
        arm='language', seed=0)
    cfg.model.language.update(language or {})
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(data_root)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = f'{data_root}/annotations/instances_val2017.json'
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in overrides.items()})
    return cfg


@lru_cache(maxsize=None)
def _small_preset() -> Config:
    cfg = Config.fromfile(REPO / 'configs' / 'small' / 'detr_gpt2_coco.py')
    cfg.merge_from_dict(
        dict(
            model=dict(
                num_queries=10,
                backbone=dict(base_channels=8, stem_channels=8),
                neck=dict(in_channels=[32]),
                bbox_head=dict(num_classes=len(CLASSES)),
                test_cfg=dict(max_per_img=10)),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(lr=1e-3)),
            train_cfg=dict(max_epochs=3, val_interval=100),
            param_scheduler=None,
            default_hooks=dict(
                logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=-1, save_best=None))))
    # group norm keeps the images of a batch apart, so that batches, ranks and resumed runs can be compared
    cfg.model.backbone.update(norm_cfg=dict(type='GN', num_groups=4), norm_eval=False, frozen_stages=-1)
    for name in ('train', 'val', 'test'):
        loader = cfg[f'{name}_dataloader']
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.metainfo = dict(classes=CLASSES)
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (64, 64)
    cfg.train_dataloader.dataset.pipeline = [
        step for step in cfg.train_dataloader.dataset.pipeline if step.type != 'RandomFlip'
    ]
    cfg.train_dataloader.dataset.filter_cfg.min_size = 1
    return cfg


def augmentation() -> list:
    """A training pipeline that draws random numbers: flips and three sizes."""
    return [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='RandomFlip', prob=0.5),
        dict(type='RandomChoiceResize', scales=[(64, 48), (80, 60), (96, 72)], keep_ratio=True),
        dict(type='PackDetInputs')
    ]


def build_detector(*args, **kwargs) -> nn.Module:
    """Build the model of :func:`run_config`, which takes the same arguments."""
    return MODELS.build(run_config(*args, **kwargs).model)


def batch_of(*sizes: Tuple[int, int]) -> Dict[str, list]:
    """A batch as a data loader gives it, with images of (height, width) ``sizes`` and random boxes."""
    shapes = [(3, *size) for size in sizes]
    return demo_mm_inputs(len(shapes), shapes, num_items=[2] * len(shapes), num_classes=len(CLASSES))


def edit_coco(data: Path, change, split: str = 'train') -> Path:
    """Rewrite an annotation file."""
    path = data / 'annotations' / f'instances_{split}2017.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def each_box(change, only=None):
    """A change of all annotations, or those of the given places."""
    return lambda content: [change(item) for index, item in enumerate(content['annotations'])
                            if only is None or index in only]
