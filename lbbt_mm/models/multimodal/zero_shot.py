"""Zero-shot classification with frozen models and trained projections: an image is of the class of the nearest prototype."""
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn

from .frozen_vision import FrozenVision
from .zero_shot_classes import ZeroShotClasses

_Config = Optional[Mapping[str, Any]]


class ZeroShot:
    """What a model of projections needs to classify images; frozen models are loaded when an image is to be classified.

    They are no part of the model's tree, so checkpoints have the projections alone.

    Args:
        vision: Config of :class:`FrozenVision`, or None.
        text: Config of the language model, or None.
        classes: Config of :class:`ZeroShotClasses`, without ``text``, or None.

    Attributes:
        classes: The classes, or None.

    Raises:
        ValueError: If a setting is unknown, a class has no name, or a template no place for one.
    """

    def __init__(self, vision: _Config, text: _Config, classes: _Config) -> None:
        _check_keys('vision', vision, ('backbone', 'checkpoint', 'pooling'))
        _check_keys('text', text, ('location', 'layer', 'pooling', 'dtype', 'device', 'revision'))
        _check_keys('zero_shot', classes, ('classes', 'templates', 'cache', 'batch_tokens'))
        if classes is not None and classes.get('classes') is None:
            raise ValueError('ShareLock: zero_shot names no classes; expected classes=FILE, a list of names, or '
                             "'clip-benchmark:DATASET'.")
        self.classes = None if classes is None else ZeroShotClasses(text, **classes)
        self._vision_config, self._vision = vision, None

    @property
    def vision(self) -> FrozenVision:
        """The vision model, which is loaded when it is first asked for.

        Raises:
            CheckpointMisfit: If its checkpoint is another model's.
            ValueError: If the config has no vision model.
        """
        if self._vision is None:
            if not self._vision_config:
                raise ValueError('ShareLock: images are to be classified, and model.vision is None; expected '
                                 'dict(backbone=..., checkpoint=...). Name the model whose features the projection was '
                                 'trained on.')
            self._vision = FrozenVision(**self._vision_config)
        return self._vision

    def identity(self, side: str) -> Dict[str, Any]:
        """What the features of a frozen model depend on; empty if it is not needed, since there is none or are no classes.

        Args:
            side: ``vision`` or ``text``.

        Raises:
            CheckpointError: If the language model is not there.
            CheckpointMisfit: If the vision model's checkpoint is another model's.
        """
        if side == 'vision':
            return self.vision.identity if self._vision_config else {}
        return {} if self.classes is None else self.classes.text_identity()

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Any, data_samples: Optional[Sequence[Any]] = None) -> List[Any]:
        """Classify images.

        Args:
            model: The :class:`lbbt_mm.ShareLock`.
            inputs: Images ``(N, 3, H, W)``, or a dict of their features, ``image`` ``(N, C)``.
            data_samples: mmpretrain's data samples. Defaults to None, new ones.

        Returns:
            list: The data samples with ``pred_score`` ``(classes,)`` and ``pred_label``.

        Raises:
            ValueError: If features are not finite, of another width than the projection's, or a label is of no class.
        """
        from mmpretrain.structures import DataSample
        if self.classes is None:
            raise ValueError('ShareLock: images are to be classified, and model.zero_shot is None; expected '
                             "dict(classes=FILE, templates='a photo of a {}').")
        samples = [DataSample() for _ in range(_size(inputs))] if data_samples is None else list(data_samples)
        _check_labels(samples, len(self.classes))
        features = inputs['image'] if isinstance(inputs, Mapping) else self.vision.features(inputs)
        scores = self.scores(model, features)
        for sample, score in zip(samples, scores):
            sample.set_pred_score(score).set_pred_label(score.argmax())
        return samples

    def scores(self, model: nn.Module, features: Tensor) -> Tensor:
        """Probabilities of the classes ``(N, classes)`` of image features ``(N, C)``."""
        odd = (~torch.isfinite(features).flatten(1).all(1)).nonzero()
        if len(odd):
            raise ValueError(f'ShareLock: the features of image {int(odd[0])} of the batch are not finite. The vision model '
                             'or the image is damaged; use another.')
        image, prototypes = model.embed_image(features), self.prototypes(model).to(features.device)
        if image.shape[1] != prototypes.shape[1]:
            raise ValueError(f'ShareLock: embeddings of images are {image.shape[1]} wide, those of classes '
                             f'{prototypes.shape[1]}; expected one width. Use the models whose features the projection was '
                             'trained on.')
        return (model.pair_loss.scale * image @ prototypes.T).softmax(-1)

    def prototypes(self, model: nn.Module) -> Tensor:
        """Prototypes of the classes ``(classes, D)`` under the model's text projection as it is now."""
        projection = model.text_projection
        training = projection.training
        projection.eval()
        try:
            return self.classes.prototypes(projection, model.embed_text)
        finally:
            projection.train(training)

    def forget(self) -> None:
        """Make prototypes anew the next time."""
        if self.classes is not None:
            self.classes.forget()


def _size(inputs: Any) -> int:
    return len(inputs['image'] if isinstance(inputs, Mapping) else inputs)


def _check_labels(samples: Sequence[Any], num_classes: int) -> None:
    """A label beyond the classes would only ever be wrong."""
    labels = [int(label) for sample in samples if 'gt_label' in sample for label in sample.gt_label.flatten()]
    if labels and max(labels) >= num_classes:
        raise ValueError(f'ShareLock: an image has the label {max(labels)}, and zero_shot.classes has {num_classes} names; '
                         'expected a name for each label. Give the names of the classes of this data set.')


def _check_keys(name: str, config: _Config, known: Sequence[str]) -> None:
    unknown: Dict[str, Any] = {key: value for key, value in (config or {}).items() if key not in known}
    if unknown:
        raise ValueError(f'ShareLock: {name} has no setting {next(iter(unknown))!r}; expected some of {", ".join(known)}.')
