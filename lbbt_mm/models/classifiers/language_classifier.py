"""LanguageClassifier: mmpretrain's ImageClassifier whose widths follow from the language model."""
from typing import Any, Mapping, Optional

from mmpretrain.models.classifiers import ImageClassifier
from torch import nn

from lbbt_mm.models.input_widths import with_input_width
from lbbt_mm.registry import MODELS

# What mmpretrain's heads and necks call the width of their input.
_INPUT_WIDTHS = ('in_channels', 'input_features')


@MODELS.register_module()
class LanguageClassifier(ImageClassifier):
    """ImageClassifier that fills in the input width of neck and head where a config leaves it None.

    So one key, ``backbone.language``, picks the language model. Everything else is mmpretrain's.

    Args:
        backbone: A backbone with ``embed_dims``, such as ``lbbt_mm.LLMBackbone``.
        neck: A neck; ``in_channels`` or ``input_features`` may be None.
        head: A head; ``in_channels`` may be None.
        **kwargs: As for mmpretrain's ImageClassifier.
    """

    def __init__(self, backbone: Any, neck: Optional[Mapping] = None, head: Optional[Mapping] = None, **kwargs) -> None:
        backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        width = getattr(backbone, 'embed_dims', None)
        width = width if isinstance(width, int) else None  # of several stages it is a list
        neck = with_input_width('neck', neck, width, _INPUT_WIDTHS, strict=False)
        if isinstance(neck, Mapping):
            width = neck.get('out_channels', width)
        super().__init__(backbone, neck, with_input_width('head', head, width, _INPUT_WIDTHS), **kwargs)
