"""The smallest vision component that holds language blocks, as the tests of initialisation need one."""
from typing import Any, Dict, List, Optional, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from lbbt_mm.language import LanguageOptions
from lbbt_mm.models.layers import LanguageBlock

InitCfg = Union[Dict[str, Any], List[Dict[str, Any]]]


class VisionStack(BaseModule):
    """Blocks in a row, initialised by LanguageInit.

    Args:
        language: The ``language`` dict.
        num_layers: Depth; None for the number of blocks chosen.
        cross_attention: Whether the blocks have cross-attention.
        init_cfg: Steps after LanguageInit.
    """

    def __init__(self, language: Dict[str, Any], num_layers: Optional[int] = None, cross_attention: bool = False,
                 init_cfg: Optional[List[Dict[str, Any]]] = None) -> None:
        super().__init__([dict(type='lbbt_mm.LanguageInit', language=language), *(init_cfg or [])])
        options = LanguageOptions.from_dict(language)
        spec = options.spec.block
        depth = options.num_layers('blocks') if num_layers is None else num_layers
        self.blocks = nn.ModuleList(LanguageBlock(spec, cross_attention=cross_attention) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, memory=x if block.cross_attn is not None else None)
        return x


def language_of(folder: Any, **options: Any) -> Dict[str, Any]:
    """The ``language`` dict of a checkpoint."""
    return dict(checkpoint=str(folder), **options)


def initialised(language: Dict[str, Any], **options: Any) -> VisionStack:
    """Blocks that LanguageInit has filled."""
    stack = VisionStack(language, **options)
    stack.init_weights()
    return stack


class Parent(BaseModule):
    """A host model that may overwrite its backbone after it was initialised, as mmdet's DETR does.

    Args:
        backbone: The part that holds language blocks.
        overwrites: Whether its ``init_weights`` fills every matrix again.
    """

    def __init__(self, backbone: VisionStack, overwrites: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.overwrites = overwrites

    def init_weights(self) -> None:
        super().init_weights()
        if self.overwrites:
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(x)
