"""Trained classifiers in miniature, as figures read them: a config, and a checkpoint whose weights are not the start's."""
from pathlib import Path
from typing import Any, Callable, Optional

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmpretrain.registry import MODELS
from torch import nn

from tests.image_folders import folder_config, random_label, write_image_folder

CLASSES = 3


def write_images(root: Path, each: int = 8) -> Path:
    """Write that many images of each of three classes, for training and for the test."""
    for seed, split in enumerate(('train', 'test')):
        write_image_folder(root / split, dict(a=each, b=each, c=each), seed=seed)
    return root


def shaken(model: nn.Module) -> None:
    """Change all weights a little, as training does."""
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))


def write_run(folder: Path, images: Path, language: Path, name: str = 'run', change: Callable[[nn.Module], None] = shaken,
              seed: Optional[int] = 0, **backbone: Any) -> str:
    """Write a run; returns it as the command lines of figures take it.

    Args:
        folder: Where.
        images: What :func:`write_images` wrote.
        language: Folder of a tiny language model.
        name: What config and checkpoint are called.
        change: Makes of the model at its start, without gradients, the one at its end.
        seed: Of the run; None for a run without one.
        **backbone: Options that differ.
    """
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True))
    labels = random_label(images, num_classes=CLASSES)
    cfg = Config(dict(
        default_scope='mmpretrain', randomness=dict(seed=seed) if seed is not None else {},
        custom_imports=dict(imports=['lbbt_mm'], allow_failed_imports=False),
        model=dict(type='ImageClassifier', head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=32),
                   data_preprocessor=dict(mean=[127.] * 3, std=[64.] * 3, to_rgb=True),
                   backbone={**dict(type='lbbt_mm.LLMBackbone', img_size=8, patch_size=4,
                                    language=dict(checkpoint=str(language))), **backbone}),
        train_dataloader=dict(loader, dataset=folder_config(images, labels, data_prefix='train')),
        test_dataloader=dict(loader, dataset=folder_config(images, data_prefix='test'))))
    cfg.dump(folder / f'{name}.py')
    init_default_scope('mmpretrain')
    set_random_seed(seed or 0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    with torch.no_grad():
        change(model)
    torch.save(dict(state_dict=model.state_dict()), folder / f'{name}.pth')
    return f'{folder / name}.py,{folder / name}.pth'
