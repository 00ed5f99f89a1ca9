"""LanguageEncoderDecoder: mmseg's EncoderDecoder whose head widths follow from a backbone of language-model blocks."""
from typing import Any, Optional

from mmseg.models.segmentors import EncoderDecoder

from lbbt_mm.models.input_widths import with_input_width
from lbbt_mm.registry import MODELS


@MODELS.register_module()
class LanguageEncoderDecoder(EncoderDecoder):
    """EncoderDecoder that fills in ``in_channels`` of its heads where a config leaves it None.

    So one key, ``backbone.language``, picks the language model of an encoder such as ``lbbt_mm.LLMBackbone``.
    Everything else is mmseg's.

    Args:
        *args: As for mmseg's EncoderDecoder.
        **kwargs: As for mmseg's EncoderDecoder. ``in_channels`` of ``decode_head`` and of ``auxiliary_head``, which may
            be a list, may be None where ``backbone`` has ``embed_dims`` and there is no ``neck``.
    """

    def _init_decode_head(self, decode_head: Any) -> None:
        super()._init_decode_head(with_input_width('decode_head', decode_head, self._width()))

    def _init_auxiliary_head(self, auxiliary_head: Any) -> None:
        width = self._width()
        if isinstance(auxiliary_head, (list, tuple)):
            auxiliary_head = [with_input_width(f'auxiliary_head[{index}]', head, width)
                              for index, head in enumerate(auxiliary_head)]
        else:
            auxiliary_head = with_input_width('auxiliary_head', auxiliary_head, width)
        super()._init_auxiliary_head(auxiliary_head)

    def _width(self) -> Optional[int]:
        return None if self.with_neck else getattr(self.backbone, 'embed_dims', None)
