"""Rectified classifiers in miniature: a ViT of three blocks, 16 wide, and blocks of a tiny language model."""
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch import Tensor

from lbbt_mm.registry import MODELS
from tests.image_folders import folder_config

WIDTH, DEPTH, CLASSES = 16, 3, 3
VIT = dict(type='VisionTransformer', img_size=16, patch_size=4,
           arch=dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=2, feedforward_channels=32))
HEAD = dict(type='LinearClsHead', num_classes=CLASSES, in_channels=WIDTH, topk=(1, ), cal_acc=True)


def model_config(language: Any, arm: str = 'language', backbone: Optional[Mapping[str, Any]] = None,
                 rectifier: Optional[Mapping[str, Any]] = None, **options: Any) -> Dict[str, Any]:
    """The model of a run.

    Args:
        language: Folder of a tiny language model.
        arm: What its block starts from.
        backbone: Config of the ViT. Defaults to None, :data:`VIT`.
        rectifier: Options of the rectifier.
        **options: Of the classifier.
    """
    given = dict(checkpoint=str(language), blocks=-1, arm=arm, seed=0)
    return dict(type='lbbt_mm.RectifiedClassifier', backbone=dict(backbone or VIT), head=HEAD,
                data_preprocessor=dict(mean=[127.] * 3, std=[64.] * 3, to_rgb=True),
                rectifier=dict(type='lbbt_mm.LanguageRectifier', language=given, **(rectifier or {})), **options)


def build(*args: Any, seed: int = 0, **options: Any):
    """A classifier at its start, in training mode; its drop rates are 0, so that mode changes nothing else."""
    init_default_scope('mmpretrain')
    torch.manual_seed(seed)
    model = MODELS.build(model_config(*args, **options))
    model.init_weights()
    return model.train()


def images(count: int = 4) -> Tensor:
    """Normalised images."""
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def samples(count: int = 4) -> list:
    """Their labels."""
    return [DataSample().set_gt_label(index % CLASSES) for index in range(count)]


def run_config(root: Path, language: Any, batch_size: int = 4, **options: Any) -> Config:
    """A run of three epochs on an image folder."""
    loader = dict(batch_size=batch_size, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True))
    return Config(dict(
        default_scope='mmpretrain', randomness=dict(seed=0), log_processor=dict(window_size=1),
        model=model_config(language, **options),
        train_dataloader=dict(loader, dataset=folder_config(root, data_prefix='train')),
        val_dataloader=dict(loader, dataset=folder_config(root, data_prefix='test')),
        test_dataloader=dict(loader, dataset=folder_config(root, data_prefix='test')),
        val_evaluator=dict(type='Accuracy', topk=(1, )), test_evaluator=dict(type='Accuracy', topk=(1, )),
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=3), val_cfg=dict(), test_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1), logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='lbbt_mm.SeedingHook'), dict(type='lbbt_mm.LanguageConfigHook'),
                      dict(type='lbbt_mm.AuxiliaryWeightHook', initial=0.6, floor=0.1)]))
