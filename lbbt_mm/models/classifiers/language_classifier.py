"""LanguageClassifier: mmpretrain's ImageClassifier whose widths follow from the language model."""
from typing import Any, Mapping, Optional

from mmpretrain.models.classifiers import ImageClassifier
from torch import nn

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
        neck = _with_width('neck', neck, width)
        if isinstance(neck, Mapping):
            width = neck.get('out_channels', width)
        super().__init__(backbone, neck, _with_width('head', head, width), **kwargs)


def _with_width(name: str, config: Any, width: Optional[int]) -> Any:
    """A neck's or head's config with its input width filled in; a width that was written has to agree."""
    if not isinstance(config, Mapping):
        return config
    config = config.copy()  # ConfigDict stays ConfigDict, and the caller's stays as it is
    for key in _INPUT_WIDTHS:
        if key not in config:
            continue
        if width is None and config[key] is None:
            raise ValueError(f'{name}.{key}=None cannot be inferred: the backbone has no embed_dims. Write its width.')
        if config[key] is None:
            config[key] = width
        elif name == 'head' and width is not None and config[key] != width:
            raise ValueError(f'{name}.{key}={config[key]} contradicts the backbone, which is {width} wide. Set it to None '
                             'to have it inferred, or choose another language model.')
    return config
