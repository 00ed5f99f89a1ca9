"""One vector for each image from a frozen vision model, as a config and a checkpoint say."""
import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import torch
from mmengine.config import Config
from torch import Tensor, nn

from lbbt_mm.config_keys import walk
from lbbt_mm.files.feature_index import DTYPES
from lbbt_mm.models.multimodal.frozen_vision import load_backbone, pretrained_step, weights_checksum
from lbbt_mm.models.multimodal.image_features import ImagePooling
from lbbt_mm.runs.run_request import as_json


class ImageEncoder:
    """A frozen vision model that makes features of images.

    Args:
        model: ``CONFIG.py`` whose weights come with its ``init_cfg``, ``CONFIG.py,CHECKPOINT.pth``, or the folder of a run,
            whose best checkpoint is taken where its config keeps it, else the last; ``LABEL=`` may stand in front.
        pooling: See :class:`~lbbt_mm.models.multimodal.image_features.ImagePooling`. Defaults to ``auto``.
        dtype: What the backbone computes in, ``float32`` or ``bfloat16``. Defaults to ``float32``.
        device: Where to compute. Defaults to ``cpu``.
        options: Overrides of the config, ``'KEY=VALUE'``.

    Attributes:
        cfg: The config.

    Raises:
        CheckpointMisfit: If the backbone's weights are not all there.
        FileNotFoundError: If config or checkpoint is not there.
        ValueError: If it has no weights, the checkpoint is not safe to open, or the pooling does not suit the backbone.
    """

    def __init__(self, model: str, pooling: str = 'auto', dtype: str = 'float32', device: str = 'cpu',
                 options: Sequence[str] = ()) -> None:
        label, self.cfg, checkpoint = open_model(model, options)
        built = _build(self.cfg, label)
        load_backbone(built.backbone, checkpoint or pretrained_step(self.cfg.model.backbone, self.cfg.model), label)
        try:
            self._pool = ImagePooling(built.backbone, pooling)
        except ValueError as error:
            raise ValueError(f'{label}: {error}') from None
        self._facts = dict(model=label, revision=vision_checksum(built.backbone, self.cfg, label), layer=-1,
                           pooling=self._pool.pooling, dtype=dtype)
        self._model, self._dtype, self._label = built.to(device).eval(), DTYPES[dtype], label
        self._model.backbone.to(self._dtype)

    @property
    def identity(self) -> Dict[str, Any]:
        """What features depend on beside the images: ``model``, ``revision``, ``layer``, ``pooling`` and ``dtype``."""
        return dict(self._facts)

    @torch.inference_mode()
    def features(self, images: List[Tensor]) -> Tensor:
        """Features of images.

        Args:
            images: As the config's pipeline gives them, ``(3, H, W)`` each, all of one size.

        Returns:
            Tensor: ``(B, C)``, float32, on the CPU.

        Raises:
            ValueError: If they differ in size: then padding would count, and with it what else is in a batch.
        """
        sizes = sorted({tuple(image.shape) for image in images})
        if len(sizes) > 1:
            raise ValueError(f'{self._label}: its pipeline gives images of {sizes[0]} and of {sizes[1]}; expected one size, '
                             'as behind CenterCrop. Correct its test pipeline.')
        inputs = self._model.data_preprocessor(dict(inputs=images), False)['inputs']
        return self._pool(inputs.to(self._dtype)).float().cpu()


def open_model(model: str, options: Sequence[str]) -> Tuple[str, Config, str]:
    """Read what a vision model is.

    Args:
        model: As for :class:`ImageEncoder`.
        options: Overrides of its config.

    Returns:
        tuple: What it is called, its config, and its checkpoint, empty where the config's ``init_cfg`` says it.

    Raises:
        FileNotFoundError: If config or checkpoint is not there.
        ValueError: If the config has no backbone, or the checkpoint is not safe to open.
    """
    from mmengine.utils import import_modules_from_strings

    from lbbt_mm.figures.arguments import check_label, split_label
    from lbbt_mm.figures.trained import open_for_inference, read_trained
    from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
    from lbbt_mm.runs.run_request import override, read_config
    label, where = split_label(model)
    if where.endswith('.py') and Path(where).is_file():
        label, cfg, checkpoint = check_label(label or Path(where).stem, model), read_config(Path(where)), ''
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
        cfg = override(cfg, options)
        refuse_unsafe_checkpoints([], trust=False)  # whatever init_cfg names is opened safely
    else:
        run = open_for_inference(read_trained(model), options)
        label, cfg, checkpoint = run.label, run.cfg, str(run.checkpoint)
    if not isinstance((cfg.get('model') or {}).get('backbone'), dict):
        raise ValueError(f'{label}: its config has no model.backbone; expected one of an image classifier.')
    return label, cfg, checkpoint


def image_pipeline(cfg: Config, label: str) -> List[dict]:
    """What a config does to an image of its test set.

    Args:
        cfg: The config.
        label: What the model is called.

    Raises:
        ValueError: If it has neither ``test_dataloader`` nor ``test_pipeline``.
    """
    loader = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    found = next((part for key, part in walk(loader, 'dataset') if key.endswith('.pipeline') and part), None)
    found = found or cfg.get('test_pipeline')
    if not found:
        raise ValueError(f'{label}: its config has no test_dataloader with a pipeline, and no test_pipeline; expected what '
                         'is done to an image. Add it.')
    return [dict(step) for step in found]


def _build(cfg: Config, label: str) -> nn.Module:
    from mmengine.registry import MODELS, init_default_scope
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = deepcopy(cfg.model)
    if cfg.get('data_preprocessor') is not None:  # as mmengine's Runner does
        model.setdefault('data_preprocessor', deepcopy(cfg.data_preprocessor))
    built = MODELS.build(model)
    if not isinstance(getattr(built, 'backbone', None), nn.Module):
        raise ValueError(f'{label}: {type(built).__name__} has no backbone; expected an image classifier of mmpretrain.')
    return built


def vision_checksum(backbone: nn.Module, cfg: Config, label: str) -> str:
    """What tells the features of one vision model from those of another; not where its files are.

    Args:
        backbone: The backbone, in the type of its checkpoint.
        cfg: Its config, with what is done to images before it.
        label: What the model is called, for messages.

    Returns:
        str: 16 hexadecimal digits of the weights, a dot, and 16 of what else features depend on.
    """
    settings = dict(processor=cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor'),
                    pipeline=image_pipeline(cfg, label), backbone=cfg.model.backbone)
    settings = as_json(settings)
    for _, part in walk([settings]):
        for key in ('init_cfg', 'checkpoint') if isinstance(part, dict) else ():
            part.pop(key, None)
    text = json.dumps(settings, sort_keys=True)
    return f'{weights_checksum(backbone)}.{hashlib.sha256(text.encode()).hexdigest()[:16]}'
