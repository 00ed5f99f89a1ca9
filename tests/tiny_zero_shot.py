"""A ShareLock in miniature with the two models that its features are of: stores, config, checkpoint, and labelled images."""
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from lbbt_mm.registry import MODELS
from lbbt_mm.zero_shot import precompute
from tests.tiny_captions import write_captions
from tests.tiny_checkpoints import build_model
from tests.tiny_sharelock import run_config
from tests.tiny_tokenizer import write_tokenizer
from tests.tiny_vision import PIPELINE, PREPROCESSOR, VIT, write_vision

NAMES, TEMPLATES = ['red cat', 'dog', 'green bird'], ['a {}', 'the {} here']
#: Folder of labelled images -> how many.
FOLDERS = dict(a=3, b=4, c=3)


def write_zero_shot(folder: Path) -> Path:
    """Write ``vit.py``, ``vit.pth``, ``llama/``, ``captions.csv`` and its ``images/``, ``features/`` of both, ``photos/``
    with labels, ``sharelock.py``, which names no frozen model, ``zero_shot.py``, which does, and ``sharelock.pth``.
    """
    write_captions(folder, 20)
    _write_photos(folder / 'photos')
    build_model('llama').save_pretrained(folder / 'llama')
    write_tokenizer(folder / 'llama')
    models = dict(images=[write_vision(folder), '--workers', '0'], texts=[str(folder / 'llama'), '--pooling', 'mean'])
    for kind, options in models.items():
        given = ['--captions', str(folder / 'captions.csv'), '--out', str(folder / 'features' / kind)]
        assert precompute.main([kind, *options, *given]) == 0
    cfg = run_config(folder / 'other_features')
    cfg.model.text_projection.update(in_channels=32, out_channels=16)
    for loader in ('train', 'val', 'test'):
        cfg[f'{loader}_dataloader'].dataset.update(image_store=str(folder / 'features' / 'images'),
                                                   text_store=str(folder / 'features' / 'texts'))
    cfg.dump(folder / 'sharelock.py')
    _with_images(folder, cfg).dump(folder / 'zero_shot.py')
    init_default_scope('mmpretrain')
    torch.manual_seed(1)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), folder / 'sharelock.pth')
    return folder


def _write_photos(folder: Path) -> None:
    """Images of one colour each, which differ more than noise does."""
    rng = np.random.default_rng(0)
    for name, count in FOLDERS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(folder / name / f'{number}.png'), np.full((24, 24, 3), rng.integers(0, 256, 3), np.uint8))


def _with_images(folder: Path, cfg: Config) -> Config:
    """A config with both models and images to test on, in place of pairs."""
    cfg.model.update(vision=dict(backbone=VIT, checkpoint=str(folder / 'vit.pth')),
                     text=dict(location=str(folder / 'llama'), pooling='mean'),
                     zero_shot=dict(classes=NAMES, templates=TEMPLATES))
    cfg.data_preprocessor = PREPROCESSOR
    cfg.test_dataloader = dict(batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                               dataset=dict(type='CustomDataset', data_root=str(folder / 'photos'), pipeline=PIPELINE))
    cfg.test_evaluator = dict(type='Accuracy', topk=(1, 2))
    return cfg
