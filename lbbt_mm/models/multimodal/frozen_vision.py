"""A frozen backbone with all of its weights, which no checkpoint of the model on top of it carries."""
import hashlib
from copy import deepcopy
from typing import Any, Dict, Mapping, Optional

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from lbbt_mm.files.checkpoint_files import load_checkpoint_safely, local_checkpoint
from lbbt_mm.files.checkpoint_fit import CheckpointMisfit, load_and_compare
from lbbt_mm.files.checkpoint_schemes import SafeLoaders
from lbbt_mm.language.stores import unwrapped
from lbbt_mm.models.freezing import freeze
from lbbt_mm.models.initializers.init_steps import steps_of
from lbbt_mm.registry import MODELS, type_name
from .image_features import ImagePooling


class FrozenVision:
    """Gives features of images, as :file:`tools/precompute_features.py` does with the same backbone.

    Args:
        backbone: Config of a backbone with mmpretrain's interface; its ``init_cfg`` names its weights, where ``checkpoint``
            does not.
        checkpoint: Checkpoint of the backbone, or of a classifier with it. Defaults to None.
        pooling: See :class:`~lbbt_mm.models.multimodal.image_features.ImagePooling`. Defaults to ``auto``.

    Attributes:
        backbone: The backbone, in evaluation mode.

    Raises:
        CheckpointMisfit: If the backbone's weights are not all there.
        ValueError: If no weights are named, or a setting cannot be.
    """

    def __init__(self, backbone: Mapping[str, Any], checkpoint: Optional[str] = None, pooling: str = 'auto') -> None:
        name = type_name(dict(backbone))
        self.backbone: nn.Module = MODELS.build({**deepcopy(dict(backbone)), 'init_cfg': None})
        load_backbone(self.backbone, checkpoint or pretrained_step(backbone), name)
        freeze(self.backbone, lambda name: False)
        self._pool = ImagePooling(self.backbone, pooling)

    @property
    def identity(self) -> Dict[str, Any]:
        """What features depend on beside images and what is done to them: ``revision``, of the weights, and ``pooling``."""
        return dict(revision=weights_checksum(self.backbone), pooling=self._pool.pooling)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: Normalised images ``(B, 3, H, W)``; the backbone follows them to their device.

        Returns:
            Tensor: ``(B, C)``, float32.
        """
        self.backbone.to(images.device)
        return self._pool(images).float()


def weights_checksum(backbone: nn.Module) -> str:
    """What tells the weights of a backbone from others: 16 hexadecimal digits of SHA-256.

    Args:
        backbone: The backbone, in the type of its checkpoint.
    """
    digest = hashlib.sha256()
    for name, tensor in backbone.state_dict().items():
        digest.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def pretrained_step(*parts: Any) -> Dict[str, Any]:
    """The step of ``init_cfg`` that loads a backbone's checkpoint.

    Args:
        *parts: Configs that may have it: of the backbone, of the model around it.

    Raises:
        ValueError: If none has.
    """
    for part in parts:
        for step in steps_of(part.get('init_cfg')):
            if type_name(step) == 'Pretrained' and step.get('checkpoint'):
                return dict(step)
    raise ValueError('the config names no weights of the vision model (no init_cfg of type Pretrained in its backbone); '
                     'expected those of a trained one. Give CONFIG.py,CHECKPOINT.pth, or checkpoint=FILE')


def load_backbone(backbone: nn.Module, source: Any, label: str) -> None:
    """Fill a backbone, all of it; what else the checkpoint has, such as a head, does not count.

    Args:
        backbone: The backbone.
        source: Path of a checkpoint, or what :func:`pretrained_step` gives.
        label: What the backbone is called, for messages.

    Raises:
        CheckpointMisfit: If the checkpoint lacks some of it, or has other shapes.
        ValueError: If it cannot be opened.
    """
    step = source if isinstance(source, Mapping) else {}
    where = step.get('checkpoint') or str(source)
    state = {str(name): tensor for name, tensor in unwrapped(_open(where)).items()}
    prefix = f'{(step.get("prefix") or "backbone").rstrip(".")}.'
    if not any(name.startswith(prefix) for name in state):
        prefix = ''  # of a backbone alone
    own = {name[len(prefix):]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    fit = load_and_compare(backbone, own, where)
    if fit.names:
        raise CheckpointMisfit(f'{where}: does not fit the backbone of {label} ({fit.describe():.300}). Give the checkpoint '
                               'and the config that belong together.')


def _open(where: str) -> Any:
    """A checkpoint's content; nothing in it is run, also where no tool has bound mmengine's loaders to that."""
    if local_checkpoint(where):
        return load_checkpoint_safely(where)
    if where.startswith(('http://', 'https://')):
        return SafeLoaders(trust=False).load_from_http(where, 'cpu')
    return CheckpointLoader.load_checkpoint(where, map_location='cpu', logger='silent')
