"""LanguageSegmenterHead: Segmenter's mask transformer made of language-model blocks (LBBT, Table 9)."""
from dataclasses import replace
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.segmenter_mask_head import SegmenterMaskTransformerHead
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_choice
from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.language.spec import BlockSpec
from lbbt_mm.language.weight_selection import select_spec
from lbbt_mm.models.initializers.init_steps import with_language_init
from lbbt_mm.models.input_widths import one_width
from lbbt_mm.models.layers import block_stack
from lbbt_mm.registry import MODELS


@MODELS.register_module()
class LanguageSegmenterHead(BaseDecodeHead):
    """Mask transformer (Segmenter, arXiv 2105.05633, section 3.2) whose blocks are a language model's.

    Patches and one learned embedding a class go through the blocks, which attend to each other in both directions and
    without positions; a class's mask is the cosine of its embedding with each patch, normalised over the classes.

    Where the language model is not as wide as Segmenter's decoder, ``language.fit`` says what gives way. ``'project'``
    (default) runs the decoder at the language model's width, behind the projection that the head has anyway: all weights are
    copied as they are. ``'select'`` keeps the decoder's width and takes evenly spaced channels, heads and hidden units
    of each block: the architecture is the original's, the copy is a part (:mod:`lbbt_mm.language.weight_selection`).

    Args:
        in_channels: Width of the encoder's features; with ``input_transform='resize_concat'`` a list of them.
        language: ``checkpoint, revision, config, blocks, arm, seed, fresh, extra_layers, fit``; see
            :class:`lbbt_mm.language.options.LanguageOptions`. ``arm='host'`` is Segmenter's own initialisation.
        num_layers: Number of blocks. Defaults to None, as many as ``language.blocks`` selects; more need ``extra_layers``.
        embed_dims: Width of the decoder. Defaults to None: the language model's, with ``fit='select'`` the encoder's.
        num_heads: Attention heads with ``fit='select'``. Defaults to None: as many as fill ``embed_dims`` with heads of the
            language model's width.
        ffn_dims: Hidden units with ``fit='select'``. Defaults to None: the language model's, in proportion to the width.
        channels: mmseg's name for ``embed_dims``; may be left out.
        attn_drop: Dropout rate of attention weights. Defaults to 0., which keeps the fused kernels; Segmenter has 0.1.
        proj_drop: Dropout rate of attention output, hidden units and feed-forward output. Defaults to 0.1, Segmenter's.
        drop_path_rate: Stochastic-depth rate of the last block. Defaults to 0., Segmenter's; mmseg has 0.1.
        with_cp: Whether to recompute activations in the backward pass. Defaults to False.
        attention_kernel: What computes attention, see :func:`lbbt_mm.models.layers.attention.attend`. Defaults to ``auto``.
        projection_init: How the projections of patches and classes start: ``scaled_normal``, Segmenter's normal of standard
            deviation ``embed_dims ** -0.5``, or ``trunc_normal``, mmseg's of ``init_std``. Defaults to ``scaled_normal``.
        init_std: Standard deviation of the truncated normals. Defaults to 0.02.
        init_cfg: Further initialisation of the head. With ``Pretrained`` in it no language weights are copied, since that
            fills the whole head. Defaults to None.
        **kwargs: ``num_classes, in_index, loss_decode, ignore_index, align_corners, sampler, ...`` as in mmseg's
            BaseDecodeHead.

    Raises:
        ValueError: If widths contradict the language model, or it cannot be selected down to them.
    """

    def __init__(self,
                 in_channels: Union[int, Sequence[int]],
                 language: Mapping[str, Any],
                 num_layers: Optional[int] = None,
                 embed_dims: Optional[int] = None,
                 num_heads: Optional[int] = None,
                 ffn_dims: Optional[int] = None,
                 channels: Optional[int] = None,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.1,
                 drop_path_rate: float = 0.,
                 with_cp: bool = False,
                 attention_kernel: str = 'auto',
                 projection_init: str = 'scaled_normal',
                 init_std: float = 0.02,
                 init_cfg: Any = None,
                 **kwargs) -> None:
        _check_options(projection_init, kwargs)
        options = LanguageOptions.from_dict(language, offers_fit=True)
        if None not in (embed_dims, channels) and embed_dims != channels:
            raise ValueError(f'LanguageSegmenterHead: embed_dims={embed_dims} and channels={channels} name the same width '
                             'and differ. Set channels to None.')
        sizes = dict(embed_dims=channels if embed_dims is None else embed_dims, num_heads=num_heads, ffn_dims=ffn_dims)
        spec = _decoder_spec(options, in_channels, sizes)
        kwargs.setdefault('dropout_ratio', 0.)  # of a convolution that is not used here
        # BaseDecodeHead's default init_cfg is for that convolution too
        steps = with_language_init(init_cfg, language, targets=dict(layers='blocks'))
        super().__init__(in_channels, spec.embed_dims, init_cfg=steps, **kwargs)
        del self.conv_seg
        self.language = options
        self.embed_dims = spec.embed_dims
        self.projection_init = projection_init
        self.init_std = init_std

        self.dec_proj = nn.Linear(self.in_channels, spec.embed_dims)
        self.cls_emb = nn.Parameter(torch.randn(1, self.num_classes, spec.embed_dims))
        self.layers = block_stack(spec, options.num_layers('blocks', num_layers), drop_path_rate, attn_drop=attn_drop,
                                  proj_drop=proj_drop, with_cp=with_cp, attention_kernel=attention_kernel)
        self.decoder_norm = nn.LayerNorm(spec.embed_dims)
        self.patch_proj = nn.Linear(spec.embed_dims, spec.embed_dims, bias=False)
        self.classes_proj = nn.Linear(spec.embed_dims, spec.embed_dims, bias=False)
        self.mask_norm = nn.LayerNorm(self.num_classes)

    def init_weights(self) -> None:
        """Initialise as Segmenter, then run ``init_cfg``, which copies the language blocks (unless the arm is ``host``)."""
        if not self.is_init:
            SegmenterMaskTransformerHead.init_weights(self)
            if self.projection_init == 'scaled_normal':
                for projection in (self.patch_proj, self.classes_proj):
                    nn.init.normal_(projection.weight, std=self.embed_dims**-0.5)
        super().init_weights()

    def forward(self, inputs: Tuple[Tensor, ...]) -> Tensor:
        """Compute the masks.

        Args:
            inputs: The encoder's feature maps, of which ``in_index`` is used, ``(B, in_channels, H, W)``.

        Returns:
            Tensor: Mask logits ``(B, num_classes, H, W)``, float32 under autocast too.
        """
        x = self._transform_inputs(inputs)
        resolution = x.shape[-2:]
        x = self.dec_proj(x.flatten(2).transpose(1, 2))
        num_patches = x.shape[1]
        x = torch.cat((x, self.cls_emb.to(x.dtype).expand(len(x), -1, -1)), dim=1)
        for layer in self.layers:
            x = layer(x)
        patches, classes = self.decoder_norm(x).split((num_patches, self.num_classes), dim=1)
        patches, classes = self.patch_proj(patches), self.classes_proj(classes)
        # the norm over classes magnifies rounding; the product is a small one
        with torch.autocast(x.device.type, enabled=False):
            patches, classes = F.normalize(patches.float(), dim=2), F.normalize(classes.float(), dim=2)
            norm = self.mask_norm
            masks = F.layer_norm(patches @ classes.transpose(1, 2), norm.normalized_shape, norm.weight.float(),
                                 norm.bias.float(), norm.eps)
        return masks.transpose(1, 2).unflatten(2, resolution).contiguous()


def _check_options(projection_init: str, kwargs: Mapping[str, Any]) -> None:
    check_choice('LanguageSegmenterHead: projection_init', projection_init, ('scaled_normal', 'trunc_normal'))
    if kwargs.get('input_transform') == 'multiple_select':
        raise ValueError("LanguageSegmenterHead: input_transform='multiple_select' hands it several feature maps; expected "
                         "None or 'resize_concat'.")
    if kwargs.get('out_channels') not in (None, kwargs.get('num_classes')):
        raise ValueError(f"LanguageSegmenterHead: out_channels={kwargs['out_channels']}; it gives one channel a class. "
                         'Leave out_channels out, or set it to num_classes.')
    if kwargs.get('num_classes') == 1:
        raise ValueError('LanguageSegmenterHead: num_classes=1; expected at least 2, since masks are normalised over the '
                         'classes. Use 2 classes for foreground and background.')


def _decoder_spec(options: LanguageOptions, in_channels: Union[int, Sequence[int]],
                  sizes: Mapping[str, Optional[int]]) -> BlockSpec:
    """What a block of the decoder is: the language model's or, with ``fit='select'``, a part of it."""
    widths = [in_channels] if isinstance(in_channels, int) else list(in_channels or [None])
    if None in widths:
        raise ValueError(f"LanguageSegmenterHead: in_channels={in_channels!r}; expected the width of the encoder's "
                         "features. Write it; lbbt_mm.LanguageEncoderDecoder fills it in for an LLMBackbone.")
    if options.fit == 'select':
        return select_spec(options.block('blocks'), **{**sizes, 'embed_dims': sizes['embed_dims'] or sum(widths)})
    spec = replace(options.block('blocks'), rotary=None)
    model = (f'the language model {options.spec.model_type} {options.checkpoint or "(language.config)"}, of which only '
             "language.fit='select' takes a part")
    for name, size in sizes.items():
        one_width(f'LanguageSegmenterHead: {name}', size, getattr(spec, name), model)
    return spec
