"""Trained image classifiers of mmpretrain in miniature, as features are made by them: a config and a checkpoint."""
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import nn

#: A vision transformer with a class token, for images of 16 x 16.
VIT = dict(type='VisionTransformer', img_size=16, patch_size=8,
           arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32))
CNN = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, num_stages=1, strides=(1, ), dilations=(1, ),
           out_indices=(0, ))
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='ResizeEdge', scale=20, edge='short'),
            dict(type='CenterCrop', crop_size=16), dict(type='PackInputs')]
PREPROCESSOR = dict(mean=[127.] * 3, std=[64.] * 3, to_rgb=True)


def build_vision(backbone: dict = VIT, seed: int = 0) -> nn.Module:
    """A classifier without a head, in evaluation mode, whose weights are not those of a start.

    Args:
        backbone: Config of the backbone.
        seed: Of the weights.
    """
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(type='ImageClassifier', backbone=deepcopy(backbone), data_preprocessor=deepcopy(PREPROCESSOR)))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def write_vision(folder: Path, name: str = 'vit', backbone: dict = VIT, **options: Any) -> str:
    """Write config and checkpoint; returns them as command lines take them.

    Args:
        folder: Where.
        name: What both are called.
        backbone: Config of the backbone.
        **options: What the config has beside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cfg = dict(default_scope='mmpretrain', model=dict(type='ImageClassifier', backbone=backbone),
               data_preprocessor=PREPROCESSOR, test_pipeline=PIPELINE)
    Config({**cfg, **options}).dump(folder / f'{name}.py')
    torch.save(dict(state_dict=build_vision(backbone).state_dict()), folder / f'{name}.pth')
    return f'{folder / name}.py,{folder / name}.pth'
