"""LLMBackbone: a vision transformer whose blocks are those of a language model (LBBT, sections 4 and 5)."""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_rate
from lbbt_mm.files.checkpoint_fit import is_below
from lbbt_mm.language.backbone_identity import IDENTITY_KEY, adopt_start, note_identity, with_start
from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.models.freezing import freeze
from lbbt_mm.models.initializers.init_steps import loading_step, with_language_init
from lbbt_mm.models.layers import RotaryEmbedding, block_stack, build_norm
from lbbt_mm.models.layers.fast_dropout import Dropout
from lbbt_mm.models.layers.position_table import fit_position_table, resize_position_table
from lbbt_mm.registry import MODELS
from .backbone_checks import block_numbers, check_choices, check_image, check_sizes, check_table


@MODELS.register_module()
class LLMBackbone(BaseModule):
    """A new patch embedding and positions, then language-model blocks: a ViT in the interface of mmpretrain's.

    It builds, tests and resumes without weights or a network where ``language.config`` is given; the weights are read when
    training starts afresh. Choices where the paper is silent: attention is bidirectional, since patches have no order;
    patches are pooled by their mean, then normalised; positions are learned, and rotary ones are off.

    Args:
        language: ``checkpoint, revision, config, blocks, arm, seed, fresh, extra_layers``; see
            :class:`lbbt_mm.language.options.LanguageOptions`.
        img_size: Height and width of the images, in pixels. Defaults to 224.
        patch_size: Height and width of a patch, in pixels. Defaults to 16.
        in_channels: Channels of the images. Defaults to 3.
        out_indices: Blocks whose output is returned; the final norm is applied to the last block's only. Blocks behind
            the last one asked for are not run, and are frozen. Defaults to -1.
        out_type: ``avg_featmap`` (mean of the patches, ``(B, C)``), ``cls_token`` ``(B, C)``, ``last_token`` (for causal
            attention, ``(B, C)``), ``featmap`` ``(B, C, H, W)`` or ``raw`` (all tokens, ``(B, N, C)``).
        attention: ``bidirectional`` or ``causal`` (row by row, from the top left).
        position: ``learned`` (a new table, resized for other image sizes), ``language`` (the same table, started from the
            language model's own) or ``rotary`` (the language model's own, over the patches row by row).
        final_norm: ``new``, ``language`` (the language model's own final norm) or None.
        with_cls_token: Whether a class token stands in front. Defaults to None: where ``out_type`` needs one.
        num_layers: Depth; more than the chosen blocks needs ``extra_layers='random'``. Defaults to None, their number.
        frozen_stages: -1 freezes nothing, 0 patch embedding and positions, n also the first n blocks, and the depth the
            final norm too. Frozen parts stay in evaluation mode. Defaults to -1.
        attn_drop: Dropout rate of attention weights. Defaults to 0., which keeps the fused kernels.
        proj_drop: Dropout rate of attention output and feed-forward output. Defaults to 0.
        hidden_drop: Dropout rate of the feed-forward networks' hidden units. Defaults to None, ``proj_drop``.
        embed_drop: Dropout rate of the tokens that the first block gets. Defaults to 0.
        drop_path_rate: Stochastic-depth rate of the last block; it grows linearly from 0. Defaults to 0.
        with_cp: Whether to recompute activations in the backward pass. Defaults to False.
        attention_kernel: What computes attention, see :func:`lbbt_mm.models.layers.attention.attend`; second derivatives
            need ``math``. Defaults to ``auto``, the quickest.
        interpolate_mode: How the position table is resized. Defaults to ``bicubic``.
        patch_cfg: Further options of mmcv's PatchEmbed.
        init_cfg: Initialisation. With a ``Pretrained`` or ``lbbt_mm.BridgeInit`` step no language weights are read.
    """

    def __init__(self,
                 language: Mapping[str, Any],
                 img_size: Union[int, Tuple[int, int]] = 224,
                 patch_size: Union[int, Tuple[int, int]] = 16,
                 in_channels: int = 3,
                 out_indices: Union[int, Sequence[int]] = -1,
                 out_type: str = 'avg_featmap',
                 attention: str = 'bidirectional',
                 position: str = 'learned',
                 final_norm: Optional[str] = 'new',
                 with_cls_token: Optional[bool] = None,
                 num_layers: Optional[int] = None,
                 frozen_stages: int = -1,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.,
                 hidden_drop: Optional[float] = None,
                 embed_drop: float = 0.,
                 drop_path_rate: float = 0.,
                 with_cp: bool = False,
                 attention_kernel: str = 'auto',
                 interpolate_mode: str = 'bicubic',
                 patch_cfg: Optional[Mapping[str, Any]] = None,
                 init_cfg: Any = None) -> None:
        options = LanguageOptions.from_dict(language)
        if with_cls_token is None:
            with_cls_token = out_type == 'cls_token'
        check_choices(with_cls_token, attention=attention, position=position, final_norm=final_norm, out_type=out_type)
        check_sizes(img_size, patch_size)
        if final_norm == 'language':
            options.check_final_norm('LLMBackbone')
        others = {**(dict(pos_embed='position_table') if position == 'language' else {}),
                  **(dict(norm='final_norm') if final_norm == 'language' else {})}
        super().__init__(init_cfg=with_language_init(init_cfg, language, targets=dict(blocks='blocks'), others=others))
        spec = options.block('blocks')
        self.language = options if loading_step(init_cfg) is None else with_start(options, {})  # nothing is copied
        self.embed_dims = spec.embed_dims
        self.num_layers = options.num_layers('blocks', num_layers)
        self.img_size, self.patch_size = to_2tuple(img_size), to_2tuple(patch_size)
        self.attention, self.position, self.out_type = attention, position, out_type
        self.interpolate_mode = interpolate_mode
        self.out_indices = block_numbers(out_indices, frozen_stages, self.num_layers)
        self.frozen_stages = frozen_stages

        check_image(self.img_size, self.patch_size)
        self.patch_embed = PatchEmbed(**{**dict(
            in_channels=in_channels, embed_dims=spec.embed_dims, conv_type='Conv2d', kernel_size=self.patch_size,
            stride=self.patch_size, padding=0, input_size=self.img_size), **(patch_cfg or {})})
        self.patch_resolution: Tuple[int, int] = tuple(self.patch_embed.init_out_size)
        self.num_extra_tokens = int(with_cls_token)  # mmpretrain's name, which its CAM tool reads
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.embed_dims)) if with_cls_token else None
        num_tokens = self.patch_resolution[0] * self.patch_resolution[1] + self.num_extra_tokens
        if position == 'language':
            check_table(options, num_tokens)
        self.rotary = RotaryEmbedding(spec) if position == 'rotary' else None
        self.pos_embed = None if position == 'rotary' else nn.Parameter(torch.zeros(1, num_tokens, spec.embed_dims))
        check_rate('embed_drop', embed_drop)
        self.embed_drop = Dropout(embed_drop)
        self._register_load_state_dict_pre_hook(self._fit_loaded_positions)
        self.register_load_state_dict_pre_hook(adopt_start)
        self._register_state_dict_hook(note_identity)

        self.blocks = block_stack(spec, self.num_layers, drop_path_rate, attention=attention, attn_drop=attn_drop,
                                  proj_drop=proj_drop, hidden_drop=hidden_drop, with_cp=with_cp,
                                  attention_kernel=attention_kernel)
        self.norm = build_norm(spec) if final_norm else nn.Identity()
        frozen = self._frozen_parts()
        freeze(self, lambda name: not is_below(name, frozen))

    def init_weights(self) -> None:
        """Initialise as a ViT, then run ``init_cfg``, which copies the language blocks (unless the arm is ``host``)."""
        if not self.is_init:
            self._init_as_vit()
        super().init_weights()

    @torch.no_grad()
    def _init_as_vit(self) -> None:
        """Blocks truncated normal, as in ViT (arXiv 2010.11929); the patch embedding as a linear layer, as in MAE."""
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.flatten(1))
        if self.patch_embed.projection.bias is not None:
            nn.init.zeros_(self.patch_embed.projection.bias)
        for table in (self.cls_token, self.pos_embed):
            if table is not None:
                trunc_normal_(table, std=0.02)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images ``(B, C, H, W)``; both sides multiples of the patch size.

        Returns:
            tuple[Tensor]: One for each of ``out_indices``, in the form of ``out_type``.

        Raises:
            ValueError: If an image side is not a multiple of the patch size.
        """
        tokens, resolution = self.embed(x)
        states = self.run(tokens)
        return tuple(self.pool(states[index], resolution, is_last=index == self.num_layers - 1)
                     for index in self.out_indices)

    def embed(self, x: Tensor) -> Tuple[Tensor, Tuple[int, int]]:
        """Make tokens of images: patches, a class token in front if there is one, and learned positions.

        Args:
            x: Images ``(B, C, H, W)``; both sides multiples of the patch size.

        Returns:
            tuple: Tokens ``(B, N, C)``, and rows and columns of patches.

        Raises:
            ValueError: If an image side is not a multiple of the patch size.
        """
        check_image(x.shape[-2:], self.patch_size)
        x, resolution = self.patch_embed(x)
        x = x.contiguous()  # it is a transposed view, whose memory order every residual sum would keep and every norm copy
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.to(x.dtype).expand(len(x), -1, -1), x), dim=1)
        if self.rotary is None:
            x = x + resize_position_table(self.pos_embed, self.patch_resolution, tuple(resolution), self.interpolate_mode,
                                          self.num_extra_tokens)
        return self.embed_drop(x), tuple(resolution)

    def run(self, x: Tensor) -> Dict[int, Tensor]:
        """Run tokens through the blocks, as far as the last of ``out_indices``.

        Args:
            x: Tokens ``(B, N, C)``.

        Returns:
            dict: Block -> its output ``(B, N, C)``, for ``out_indices``.
        """
        rotary = None if self.rotary is None else self.rotary(torch.arange(x.shape[1], device=x.device))
        states = {}
        for index in range(max(self.out_indices) + 1):
            x = self.blocks[index](x, rotary=rotary)
            if index in self.out_indices:
                states[index] = x
        return states

    def pool(self, x: Tensor, resolution: Tuple[int, int], is_last: bool = True) -> Tensor:
        """Bring a block's output into the form of ``out_type``.

        Args:
            x: Tokens ``(B, N, C)``.
            resolution: Rows and columns of patches.
            is_last: Whether the last block gave it, behind which the final norm comes.
        """
        norm = self.norm if is_last else nn.Identity()
        if self.out_type == 'cls_token':
            return norm(x[:, 0])
        if self.out_type == 'last_token':
            return norm(x[:, -1])
        if self.out_type == 'raw':
            return norm(x)
        patches = x[:, self.num_extra_tokens:]
        if self.out_type == 'avg_featmap':
            return norm(patches.mean(dim=1))
        return norm(patches).transpose(1, 2).unflatten(2, tuple(resolution)).contiguous()

    def _frozen_parts(self) -> List[str]:
        """Names of what ``frozen_stages`` freezes, and of what is not run: DDP would wait for its gradients."""
        behind = max(self.out_indices) + 1
        parts = ['patch_embed', 'cls_token', 'pos_embed'] if self.frozen_stages >= 0 else []
        parts += [f'blocks.{index}' for index in range(self.num_layers) if not self.frozen_stages <= index < behind]
        return parts + (['norm'] if self.frozen_stages == self.num_layers or behind < self.num_layers else [])

    def get_layer_depth(self, param_name: str, prefix: str = '') -> Tuple[int, int]:
        """Depth of a parameter, for layer-wise learning-rate decay.

        Args:
            param_name: Its name.
            prefix: What the backbone's own parameters start with. Defaults to an empty string.

        Returns:
            tuple[int, int]: Its depth (0 for the patch embedding and tokens, one more a block, the highest for final norm
            and head) and the number of depths.
        """
        depths = self.num_layers + 2
        name = param_name[len(prefix):] if param_name.startswith(prefix) else ''
        if name in ('cls_token', 'pos_embed') or name.startswith('patch_embed.'):
            return 0, depths
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, depths
        return depths - 1, depths

    def _fit_loaded_positions(self, state_dict: Dict[str, Tensor], prefix: str, local_metadata: Mapping, *args) -> None:
        """Resize a loaded position table to this model's image size."""
        table = state_dict.get(prefix + 'pos_embed')
        if table is not None and self.pos_embed is not None and table.ndim == 3 and table.shape[2] == self.embed_dims:
            noted = (local_metadata.get(IDENTITY_KEY) or {}).get('patch_resolution')
            state_dict[prefix + 'pos_embed'] = fit_position_table(table, noted, self.patch_resolution,
                                                                  self.interpolate_mode, self.num_extra_tokens)
