"""mmseg's Segmenter head and LanguageSegmenterHead, with equal weights and dropouts."""
import copy
from functools import partial
from types import SimpleNamespace as Size
from typing import Any, Dict, Mapping, Tuple

import torch
from contenders import MMCV_NAMES, Contender, take_over
from harness import Row
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from lbbt_mm import config_path
from lbbt_mm.models.decode_heads import LanguageSegmenterHead

HEAD_DIMS, PROJ_DROP = 64, 0.1
STOCK, OURS = 'mmseg', 'LanguageSegmenterHead'
# Our parameter names -> mmseg's; the others are the same.
_NAMES = {**MMCV_NAMES, r'\.norm(\d)\.': r'.ln\1.'}
# Never computed here; the default warns.
_LOSS = dict(type='CrossEntropyLoss', avg_non_ignore=True)


def build(row: Row, size: Size) -> Tuple[Dict[str, Contender], None]:
    """Both that take turns in a row: mmseg's side, then ours; gradients go on to the encoder's features."""
    if row.options.get('slide'):
        image = torch.randn(1, encoder_cfg().in_channels, *size.image)
        return {name: Contender(model, partial(slide, model, image), row.training, row.bf16)
                for name, model in build_segmentors(size).items()}, None
    features = torch.randn(size.batch, encoder_cfg().embed_dims, *size.tokens, requires_grad=True)
    heads = build_heads(size, row.options.get('attn_drop', 0.), PROJ_DROP)
    return {name: Contender(head, partial(head, (features, )), row.training, row.bf16, (features, ))
            for name, head in heads.items()}, None


def slide(segmentor: EncoderDecoder, image: Tensor) -> Tensor:
    """Slide over a normalised image ``(1, 3, H, W)``, as mmseg's test loop does; logits ``(1, K, H, W)``."""
    shape = tuple(image.shape[-2:])
    return segmentor.inference(image, [dict(ori_shape=shape, img_shape=shape, pad_shape=shape, padding_size=[0, 0, 0, 0])])


@torch.no_grad()
def describe(rows: Mapping[str, Row], size: Size) -> Dict[str, str]:
    """Sizes, and how far apart the two heads' masks are with equal weights, in float32 without dropout."""
    torch.manual_seed(0)
    features = torch.randn(size.batch, encoder_cfg().embed_dims, *size.tokens)
    theirs, ours = (head.eval()((features, )) for head in build_heads(size).values())
    down, across = (-(-(pixels - size.crop) // size.stride) + 1 for pixels in size.image)  # they overlap more at the borders
    return {'sizes': f'width {size.width}, {size.width // HEAD_DIMS} heads, {size.layers} layers, batch {size.batch}, '
            f'{features[0, 0].numel()} patches + {size.classes} classes',
            'sliding window': f'{down * across} windows of {size.crop} pixels, stride {size.stride}, image '
            f'{size.image[0]}x{size.image[1]}',
            'largest difference of the outputs': f'{(theirs - ours).abs().max():.1e}'}


def build_heads(size: Size, attn_drop: float = 0., proj_drop: float = 0.) -> Dict[str, nn.Module]:
    """Both heads by name, mmseg's first."""
    init_default_scope('mmseg')
    stock = MODELS.build(stock_head_cfg(size, attn_drop, proj_drop))
    stock.init_weights()
    for module in stock.modules():
        if isinstance(module, MultiheadAttention):
            # a second dropout of its output, whose default is one dict for all instances: mmdet's DETR changes it
            module.dropout_layer.p = 0.
    return {STOCK: stock, OURS: our_head(stock, size, attn_drop, proj_drop)}


def stock_head_cfg(size: Size, attn_drop: float = 0., proj_drop: float = 0.) -> Dict[str, Any]:
    """Config of mmseg's head, with GPT-2's activation and no drop path.

    Its ``drop_rate`` is that of attention output, hidden units and feed-forward output, as our ``proj_drop``;
    ``attn_drop_rate`` is that of the attention weights.
    """
    return dict(
        type='SegmenterMaskTransformerHead', in_channels=encoder_cfg().embed_dims, channels=size.width,
        embed_dims=size.width, num_layers=size.layers, num_heads=size.width // HEAD_DIMS, num_classes=size.classes,
        drop_path_rate=0., drop_rate=proj_drop, attn_drop_rate=attn_drop, act_cfg=dict(type='GELU', approximate='tanh'),
        loss_decode=_LOSS)


def our_head(stock: nn.Module, size: Size, attn_drop: float = 0., proj_drop: float = 0.) -> LanguageSegmenterHead:
    """Our head with the other's weights; without dropout both then compute the same function."""
    fields = dict(model_type='gpt2', n_embd=size.width, n_head=size.width // HEAD_DIMS, n_inner=4 * size.width,
                  n_layer=size.layers)
    head = LanguageSegmenterHead(
        encoder_cfg().embed_dims, dict(config=fields, arm='host'), num_classes=size.classes, attn_drop=attn_drop,
        proj_drop=proj_drop, loss_decode=_LOSS)
    take_over(head, stock.state_dict(), _NAMES)
    return head


def build_segmentors(size: Size) -> Dict[str, EncoderDecoder]:
    """mmseg's EncoderDecoder with either head, behind equal encoders: the ViT-Tiny of our Segmenter configs, untrained."""
    window = (size.crop, size.crop)
    init_default_scope('mmseg')
    stock = EncoderDecoder(
        backbone=dict(encoder_cfg(), img_size=window), decode_head=stock_head_cfg(size),
        test_cfg=ConfigDict(mode='slide', crop_size=window, stride=(size.stride, size.stride)))
    for part in (stock.backbone, stock.decode_head):  # the segmentor's own init_weights prints every tensor's name
        part.init_weights()
    ours = copy.deepcopy(stock)
    ours.decode_head = our_head(stock.decode_head, size)
    return {STOCK: stock, OURS: ours}


def encoder_cfg() -> ConfigDict:
    """The ViT-Tiny of our Segmenter configs."""
    return Config.fromfile(config_path('_base_/language_segmenter.py')).model.backbone
