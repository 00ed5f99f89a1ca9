"""The two sides of the comparison: mmseg's Segmenter head and LanguageSegmenterHead, with equal weights and dropouts."""
import copy
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Tuple

import torch
from matrix_floor import Work, block_work, linear_work
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from lbbt_mm.language import read_spec
from lbbt_mm.models.decode_heads import LanguageSegmenterHead

ROOT = Path(__file__).resolve().parents[2]
STOCK, OURS = 'mmseg', 'LanguageSegmenterHead'
# Our parameter names -> mmseg's; the others are the same.
_NAMES = {
    '.attn.qkv.': '.attn.attn.in_proj_',
    '.attn.proj.': '.attn.attn.out_proj.',
    '.mlp.fc1.': '.ffn.layers.0.0.',
    '.mlp.fc2.': '.ffn.layers.1.',
    '.norm1.': '.ln1.',
    '.norm2.': '.ln2.',
}
# Never computed here; the default warns.
_LOSS = dict(type='CrossEntropyLoss', avg_non_ignore=True)


@dataclass(frozen=True)
class HeadSize:
    """Sizes of a mask transformer and of what it gets.

    Args:
        width: Channels C, a multiple of 64.
        num_layers: Layers.
        num_classes: Classes K, each of which is a token.
        batch: Images B.
        height: Rows of the encoder's feature map.
        columns: Columns of the feature map; ``height * columns`` patches.
    """
    width: int
    num_layers: int
    num_classes: int
    batch: int
    height: int
    columns: int

    @property
    def num_heads(self) -> int:
        """Attention heads, of the width that GPT-2's have."""
        return self.width // 64

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return self.height * self.columns


@dataclass(frozen=True)
class SlideSize:
    """An image and the windows that slide over it, in pixels.

    Args:
        image: Height and width of the image.
        crop: Height and width of a window; the image is no smaller.
        stride: From one window to the next.
    """
    image: Tuple[int, int]
    crop: int
    stride: int

    @property
    def windows(self) -> int:
        """Number of windows; at the borders they overlap more."""
        down, across = (-(-(pixels - self.crop) // self.stride) + 1 for pixels in self.image)
        return down * across


def build_heads(size: HeadSize, attn_drop: float = 0., proj_drop: float = 0.) -> Dict[str, nn.Module]:
    """Both heads by name, mmseg's first."""
    init_default_scope('mmseg')
    stock = MODELS.build(stock_head_cfg(size, attn_drop, proj_drop))
    stock.init_weights()
    for module in stock.modules():
        if isinstance(module, MultiheadAttention):
            # a second dropout of its output, whose default is one dict for all instances: mmdet's DETR changes it
            module.dropout_layer.p = 0.
    return {STOCK: stock, OURS: our_head(stock, size, attn_drop, proj_drop)}


def stock_head_cfg(size: HeadSize, attn_drop: float = 0., proj_drop: float = 0.) -> Dict[str, Any]:
    """Config of mmseg's head, with GPT-2's activation and no drop path.

    Its ``drop_rate`` is that of attention output, hidden units and feed-forward output, as our ``proj_drop``;
    ``attn_drop_rate`` is that of the attention weights.
    """
    return dict(
        type='SegmenterMaskTransformerHead',
        in_channels=encoder_cfg().embed_dims,
        channels=size.width,
        embed_dims=size.width,
        num_layers=size.num_layers,
        num_heads=size.num_heads,
        num_classes=size.num_classes,
        drop_path_rate=0.,
        drop_rate=proj_drop,
        attn_drop_rate=attn_drop,
        act_cfg=dict(type='GELU', approximate='tanh'),
        loss_decode=_LOSS)


def our_head(stock: nn.Module, size: HeadSize, attn_drop: float = 0., proj_drop: float = 0.) -> LanguageSegmenterHead:
    """Our head with the other's weights; without dropout both then compute the same function."""
    head = LanguageSegmenterHead(
        encoder_cfg().embed_dims, dict(config=_gpt2(size.width, size.num_heads, size.num_layers), arm='host'),
        num_classes=size.num_classes, attn_drop=attn_drop, proj_drop=proj_drop, loss_decode=_LOSS)
    weights = stock.state_dict()
    renamed = {}
    for ours in head.state_dict():
        theirs = ours
        for our_part, their_part in _NAMES.items():
            theirs = theirs.replace(our_part, their_part)
        renamed[ours] = weights[theirs]
    head.load_state_dict(renamed)
    return head


def build_segmentors(size: HeadSize, slide: SlideSize) -> Dict[str, EncoderDecoder]:
    """mmseg's EncoderDecoder with either head, behind equal encoders: the ViT-Tiny of our Segmenter configs, untrained."""
    window = (slide.crop, slide.crop)
    init_default_scope('mmseg')
    stock = EncoderDecoder(
        backbone=dict(encoder_cfg(), img_size=window), decode_head=stock_head_cfg(size),
        test_cfg=ConfigDict(mode='slide', crop_size=window, stride=(slide.stride, slide.stride)))
    for part in (stock.backbone, stock.decode_head):  # the segmentor's own init_weights prints every tensor's name
        part.init_weights()
    ours = copy.deepcopy(stock)
    ours.decode_head = our_head(stock.decode_head, size)
    return {STOCK: stock, OURS: ours}


class Features:
    """What the encoder hands over, the same for both heads.

    Args:
        size: Sizes.
    """

    def __init__(self, size: HeadSize) -> None:
        # the encoder is trained too: gradients go on to it
        self.map = torch.randn(size.batch, encoder_cfg().embed_dims, size.height, size.columns, requires_grad=True)

    def run(self, head: nn.Module) -> Tensor:
        """One forward pass."""
        return head((self.map, ))

    def clear_gradients(self, head: nn.Module) -> None:
        """Forget gradients, of the features too."""
        head.zero_grad(set_to_none=True)
        self.map.grad = None


class Image:
    """One normalised image, as mmseg's test loop hands it to a segmentor.

    Args:
        slide: Sizes.
    """

    def __init__(self, slide: SlideSize) -> None:
        self.pixels = torch.randn(1, encoder_cfg().in_channels, *slide.image)

    def run(self, segmentor: EncoderDecoder) -> Tensor:
        """Slide over the image; logits ``(1, K, H, W)``."""
        shape = tuple(self.pixels.shape[-2:])
        metas = [dict(ori_shape=shape, img_shape=shape, pad_shape=shape, padding_size=[0, 0, 0, 0])]
        return segmentor.inference(self.pixels, metas)

    def clear_gradients(self, segmentor: EncoderDecoder) -> None:
        """Nothing to forget: images slide in evaluation mode."""


def encoder_cfg() -> ConfigDict:
    """The ViT-Tiny of our Segmenter configs."""
    return Config.fromfile(ROOT / 'configs/_base_/language_segmenter.py').model.backbone


def head_work(size: HeadSize) -> Work:
    """Matrix products of a head, forward and backward."""
    rows = size.batch * size.patches
    block = block_work(read_spec(_gpt2(size.width, size.num_heads, 1)).block, size.batch, size.patches + size.num_classes)
    masks = Work(Counter([(size.batch, size.patches, size.width, size.num_classes)]),
                 Counter([(size.batch, size.patches, size.num_classes, size.width),
                          (size.batch, size.width, size.patches, size.num_classes)]), Counter())
    return (linear_work(rows, encoder_cfg().embed_dims, size.width) + block.times(*3 * [size.num_layers])
            + linear_work(rows, size.width, size.width)
            + linear_work(size.batch * size.num_classes, size.width, size.width) + masks)


def slide_work(size: HeadSize, slide: SlideSize) -> Work:
    """Matrix products of encoder and head in the forward passes over all windows of an image."""
    encoder = encoder_cfg()
    side = slide.crop // encoder.patch_size
    block = block_work(read_spec(_gpt2(encoder.embed_dims, encoder.num_heads, 1)).block, 1,
                       side**2 + int(encoder.with_cls_token))
    window = (linear_work(side**2, encoder.in_channels * encoder.patch_size**2, encoder.embed_dims)
              + block.times(encoder.num_layers, 0, 0) + head_work(replace(size, batch=1, height=side, columns=side)))
    return window.times(slide.windows, 0, 0)


def _gpt2(width: int, num_heads: int, num_layers: int) -> Dict[str, Any]:
    return dict(model_type='gpt2', n_embd=width, n_head=num_heads, n_inner=4 * width, n_layer=num_layers)
