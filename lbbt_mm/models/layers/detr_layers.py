"""Encoder and decoder of DETR (arXiv 2005.12872, section 3.2 and appendix A.3), built of LanguageBlocks."""
from typing import Optional

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from lbbt_mm.language.spec import BlockSpec
from .block_stack import block_stack
from .language_block import build_norm


class _LanguageLayers(BaseModule):
    """A stack of LanguageBlocks that starts as DETR's layers do."""

    cross_attention = False

    def __init__(self, spec: BlockSpec, num_layers: int, drop_path_rate: float = 0., **block_options) -> None:
        super().__init__()
        self.embed_dims = spec.embed_dims
        self.num_layers = num_layers
        self.layers = block_stack(spec, num_layers, drop_path_rate, cross_attention=self.cross_attention, **block_options)

    def init_weights(self) -> None:
        """Initialise as DETR does: every matrix Xavier-uniform, attention biases zero."""
        super().init_weights()
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith(('qkv.bias', 'proj.bias')):
                nn.init.zeros_(parameter)


class LanguageDETREncoder(_LanguageLayers):
    """DETR's encoder of LanguageBlocks.

    Args:
        spec: The blocks' spec.
        num_layers: Depth.
        **block_options: ``drop_path_rate`` of the last layer (Defaults to 0.); ``norm, attn_drop, proj_drop, with_cp,
            attention_kernel`` of :class:`LanguageBlock`.
    """

    def __init__(self, spec: BlockSpec, num_layers: int, **block_options) -> None:
        super().__init__(spec, num_layers, **block_options)
        # The original adds a norm after the encoder only where its layers are pre-norm.
        self.final_norm = build_norm(spec) if self.layers[0].norm == 'pre' else nn.Identity()

    def forward(self, query: Tensor, query_pos: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Encode.

        Args:
            query: Image features ``(B, N, C)``.
            query_pos: Their positions ``(B, N, C)``.
            mask: Boolean ``(B, 1, 1, N)``, True at image pixels, False at padding.

        Returns:
            Tensor: Memory ``(B, N, C)``.
        """
        # Under autocast the backbone hands over bfloat16; the residual stream keeps the parameters' precision.
        query = query.to(next(self.parameters()).dtype)
        for layer in self.layers:
            query = layer(query, query_pos, mask)
        return self.final_norm(query)


class LanguageDETRDecoder(_LanguageLayers):
    """DETR's decoder of LanguageBlocks with cross-attention.

    Args:
        spec: The blocks' spec.
        num_layers: Depth.
        return_intermediate: Whether to return every layer's output, for DETR's auxiliary losses.
        **block_options: ``drop_path_rate`` of the last layer (Defaults to 0.); ``norm, attn_drop, proj_drop, with_cp,
            attention_kernel`` of :class:`LanguageBlock`.
    """

    cross_attention = True

    def __init__(self, spec: BlockSpec, num_layers: int, return_intermediate: bool = True, **block_options) -> None:
        super().__init__(spec, num_layers, **block_options)
        self.return_intermediate = return_intermediate
        self.post_norm = build_norm(spec)

    def forward(self, query: Tensor, query_pos: Tensor, memory: Tensor, memory_pos: Tensor,
                memory_mask: Optional[Tensor] = None) -> Tensor:
        """Decode.

        Args:
            query: Object queries ``(B, Q, C)``.
            query_pos: Their learned positions ``(B, Q, C)``.
            memory: The encoder's output ``(B, N, C)``.
            memory_pos: Its positions ``(B, N, C)``.
            memory_mask: Boolean ``(B, 1, 1, N)``, True at image pixels, False at padding.

        Returns:
            Tensor: ``(num_layers, B, Q, C)``, or ``(1, B, Q, C)`` without ``return_intermediate``.
        """
        keys_from = memory + memory_pos
        outputs = []
        for layer in self.layers:
            query = layer(query, query_pos, memory=memory, memory_pos=keys_from, memory_mask=memory_mask)
            if self.return_intermediate:
                outputs.append(query)
        return self.post_norm(torch.stack(outputs or [query]))
