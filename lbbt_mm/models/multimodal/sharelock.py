"""ShareLock: a frozen vision model and a frozen language model, tied by a small projection.

"Better Language Models Exhibit Higher Visual Alignment" (2410.07173) and its public code (JonaRuthardt/ShareLock, e7b464d).
"""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_choice, check_count
from lbbt_mm.models.layers.synced_batch_norm import SyncedBatchNorm
from lbbt_mm.registry import MODELS, type_name
from .zero_shot import ZeroShot

_Config = Optional[Mapping[str, Any]]


@MODELS.register_module()
class ShareLock(BaseModel):
    """Trains projections of precomputed features with a contrastive loss; both models that gave the features stay frozen.

    Args:
        text_projection: Config of what maps text features, such as :class:`lbbt_mm.MLPProjection`. Defaults to None, the
            features as they are.
        vision_projection: Likewise of image features. Defaults to None, as in the paper; with this one alone the direction
            is vision to text, with both they meet at a width of their own.
        loss: Config of the loss, :class:`lbbt_mm.InfoNCELoss` (default) or :class:`lbbt_mm.SigmoidPairLoss`.
        batch: ``'full'``: the whole batch, of all ranks, is in one loss, and batch norms see all of it. ``'accumulate'``: as
            in the public code, whose batch of 16,384 is the mean of 16 losses of 1,024 pairs, and so are its batch norms;
            each rank is for itself. Defaults to ``'full'``.
        accumulate_size: Pairs in a loss of ``'accumulate'``. Defaults to 1024.
        vision: Config of the frozen vision model, see :class:`lbbt_mm.models.multimodal.frozen_vision.FrozenVision`.
            Defaults to None, images come as features.
        text: Config of the frozen language model, which reads names of classes, see
            :class:`lbbt_mm.language.text_encoder.TextEncoder`. Defaults to None.
        zero_shot: Config of the classes that images are classified as, see
            :class:`lbbt_mm.models.multimodal.zero_shot_classes.ZeroShotClasses`. Defaults to None.
        data_preprocessor: Config of the images' preprocessor, or of :class:`lbbt_mm.PairDataPreprocessor`. Defaults to None.
        init_cfg: Initialisation. Defaults to None.

    Raises:
        FileNotFoundError: If a file of names of classes, or of templates, is not there.
        ValueError: If a setting has a value that it cannot have, a class no name, or a template no place for one.
    """

    #: What does not change what trained projections compute: how they trained, where the frozen models are, what is scored.
    #: See :mod:`lbbt_mm.files.checkpoint_function`.
    settings_without_effect = ('batch', 'accumulate_size', 'zero_shot', 'vision.checkpoint', 'text.location', 'text.device')
    #: A training on stores of features need not name the frozen models.
    settings_left_open = ('vision', 'text')

    def __init__(self,
                 text_projection: _Config = None,
                 vision_projection: _Config = None,
                 loss: _Config = None,
                 batch: str = 'full',
                 accumulate_size: int = 1024,
                 vision: _Config = None,
                 text: _Config = None,
                 zero_shot: _Config = None,
                 data_preprocessor: _Config = None,
                 init_cfg: Any = None) -> None:
        check_choice('ShareLock: batch', batch, ('full', 'accumulate'))
        check_count('ShareLock: accumulate_size', accumulate_size, 2)
        super().__init__(_preprocessor(data_preprocessor), init_cfg)
        self.text_projection = nn.Identity() if text_projection is None else MODELS.build(text_projection)
        self.vision_projection = nn.Identity() if vision_projection is None else MODELS.build(vision_projection)
        self.pair_loss = MODELS.build(loss or dict(type='lbbt_mm.InfoNCELoss'))
        self.batch, self.accumulate_size = batch, accumulate_size
        self.zero_shot = ZeroShot(vision, text, zero_shot)
        if batch == 'accumulate':
            self.pair_loss.gather = False
            for norm in self._norms():
                norm.synced = False

    def embed_text(self, features: Tensor) -> Tensor:
        """Text features ``(N, C)`` to embeddings of unit length ``(N, D)``."""
        return F.normalize(self.text_projection(features).float(), dim=-1)

    def embed_image(self, features: Tensor) -> Tensor:
        """Image features ``(N, C)`` to embeddings of unit length ``(N, D)``."""
        return F.normalize(self.vision_projection(features).float(), dim=-1)

    def forward(self, inputs: Any, data_samples: Optional[Sequence[BaseDataElement]] = None, mode: str = 'tensor') -> Any:
        """Losses, predictions or embeddings of a batch.

        Args:
            inputs: Features of pairs: a dict of ``image`` ``(N, C)`` and ``text`` ``(N, C')``.
            data_samples: What is known of the samples.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``: embeddings of images and of texts.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.embed(inputs)
        raise RuntimeError(f"ShareLock: mode={mode!r}; expected 'loss', 'predict' or 'tensor'.")

    def embed(self, inputs: Mapping[str, Tensor]) -> Tuple[Tensor, Tensor]:
        """Embeddings of a batch's images and of its texts, each ``(N, D)`` and of unit length.

        Raises:
            ValueError: If they are not of one width.
        """
        image, text = self.embed_image(inputs['image']), self.embed_text(inputs['text'])
        if image.shape[1] != text.shape[1]:
            raise ValueError(f'ShareLock: embeddings of images are {image.shape[1]} wide, those of texts {text.shape[1]}; '
                             "expected one width. Set out_channels of text_projection to the image features' width, or give "
                             'both projections the same.')
        return image, text

    def loss(self, inputs: Mapping[str, Tensor], data_samples: Any = None) -> Dict[str, Tensor]:
        """The contrastive loss of a batch.

        Args:
            inputs: Features of pairs: ``image`` ``(N, C)`` and ``text`` ``(N, C')``.
            data_samples: Not used.

        Returns:
            dict[str, Tensor]: ``loss``.

        Raises:
            ValueError: If a batch is not a whole number of ``accumulate_size``.
        """
        if self.batch == 'full' or not self.training:
            return dict(loss=self.pair_loss(*self.embed(inputs)))
        size = self.accumulate_size
        if len(inputs['image']) % size:
            raise ValueError(f"ShareLock: a batch of {len(inputs['image'])} pairs, and accumulate_size={size}; expected a "
                             'whole number of times as many. Change batch_size or model.accumulate_size.')
        parts = zip(inputs['image'].split(size), inputs['text'].split(size))
        losses = [self.pair_loss(*self.embed(dict(image=image, text=text))) for image, text in parts]
        self._average_statistics()
        return dict(loss=torch.stack(losses).mean())

    def predict(self, inputs: Any, data_samples: Optional[Sequence[BaseDataElement]] = None) -> List[BaseDataElement]:
        """Embeddings of pairs, for the metrics of pairs; or classes of images, for those of classification.

        Args:
            inputs: Features of pairs: ``image`` ``(N, C)`` and ``text`` ``(N, C')``. Or images ``(N, 3, H, W)``, or features
                of images alone: ``image`` ``(N, C)``.
            data_samples: One for each pair or image. Defaults to None, new ones.

        Returns:
            list: The data samples. Those of pairs have ``image_embedding`` and ``text_embedding`` ``(D,)``, and
            ``pair_loss``, the config of the loss as it is now. Those of images have mmpretrain's ``pred_score``
            ``(classes,)``, the softmax of the loss's scale times the cosines with the prototypes, and ``pred_label``.
        """
        if not isinstance(inputs, Mapping) or 'text' not in inputs:
            return self.zero_shot.predict(self, inputs, data_samples)
        image, text = self.embed(inputs)
        samples = [BaseDataElement() for _ in image] if data_samples is None else data_samples
        config = self.pair_loss.config()
        for sample, *pair in zip(samples, image, text):
            sample.set_data(dict(image_embedding=pair[0], text_embedding=pair[1]))
            sample.set_metainfo(dict(pair_loss=config))
        return list(samples)

    def frozen_identity(self, side: str) -> Dict[str, Any]:
        """What the features of a frozen model, ``vision`` or ``text``, depend on; empty if it is not needed.

        Raises:
            CheckpointError: If the language model is not there.
            CheckpointMisfit: If the vision model's checkpoint is another model's.
        """
        return self.zero_shot.identity(side)

    def train(self, mode: bool = True) -> 'ShareLock':
        """As of any module; what is made with the projections is made anew behind a training."""
        if mode:
            self.zero_shot.forget()
        return super().train(mode)

    def _norms(self) -> List[SyncedBatchNorm]:
        return [module for module in self.modules() if isinstance(module, SyncedBatchNorm)]

    def _average_statistics(self) -> None:
        """Ranks that normalise for themselves agree on what evaluation normalises with."""
        if get_world_size() > 1:
            for norm in self._norms():
                for statistic in (norm.running_mean, norm.running_var):
                    all_reduce(statistic.data, 'mean')  # autograd has noted them, though no backward pass reads them


def _preprocessor(config: _Config) -> Mapping[str, Any]:
    """A preprocessor that takes features too."""
    own = type_name(config) == 'PairDataPreprocessor'
    return config if own else dict(type='lbbt_mm.PairDataPreprocessor', images=config)
