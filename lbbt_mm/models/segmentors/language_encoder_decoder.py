"""LanguageEncoderDecoder: mmseg's EncoderDecoder whose head widths follow from a backbone of language-model blocks."""
from typing import Any, Optional

from mmseg.models.segmentors import EncoderDecoder

from lbbt_mm.models.backbones import LLMBackbone
from lbbt_mm.models.input_widths import with_input_width
from lbbt_mm.registry import MODELS


@MODELS.register_module()
class LanguageEncoderDecoder(EncoderDecoder):
    """EncoderDecoder that fills in ``in_channels`` of its heads where a config leaves it None.

    So one key, ``backbone.language``, picks the language model of the encoder, ``lbbt_mm.LLMBackbone``. Everything else
    is mmseg's.

    Args:
        *args: As for mmseg's EncoderDecoder.
        **kwargs: As for mmseg's EncoderDecoder. ``in_channels`` of ``decode_head`` and of ``auxiliary_head``, which may
            be a list, may be None, or a list of None, where ``backbone`` is an LLMBackbone and there is no ``neck``.

    Raises:
        ValueError: If a width cannot be known or contradicts the backbone, or the backbone gives no feature maps.
    """

    def _init_decode_head(self, decode_head: Any) -> None:
        if isinstance(self.backbone, LLMBackbone) and self.backbone.out_type != 'featmap':
            raise ValueError(f'LanguageEncoderDecoder: backbone.out_type={self.backbone.out_type!r}; segmentation heads '
                             "need feature maps. Set it to 'featmap'.")
        super()._init_decode_head(with_input_width('decode_head', decode_head, self._width()))

    def _init_auxiliary_head(self, auxiliary_head: Any) -> None:
        super()._init_auxiliary_head(with_input_width('auxiliary_head', auxiliary_head, self._width()))

    def _width(self) -> Optional[int]:
        # the embed_dims of a hierarchical encoder is that of its first stage
        return self.backbone.embed_dims if isinstance(self.backbone, LLMBackbone) and not self.with_neck else None
