"""mmdet's DETR transformer and LanguageDETR's, called in the same way."""
from functools import partial
from types import SimpleNamespace as Size
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from contenders import MMCV_NAMES, Contender, take_over
from harness import Row
from mmdet.models.layers import DetrTransformerDecoder, DetrTransformerEncoder
from mmengine.config import Config
from mmengine.hub import get_config
from torch import Tensor, nn

from lbbt_mm import config_path
from lbbt_mm.language import read_spec
from lbbt_mm.models.layers import LanguageDETRDecoder, LanguageDETREncoder

HEAD_DIMS, PROJ_DROP = 64, 0.1
STOCK, PRE, POST, SHIPPED = 'mmdet', 'pre-norm', 'post-norm', 'shipped config'
# Our parameter names -> mmdet's, for layers without and with cross-attention.
_NAMES = {
    **MMCV_NAMES,
    r'\.attn\.attn\.': '.self_attn.attn.',
    r'\.norm1\.': '.norms.0.',
    r'\.cross_norm\.': '.norms.1.',
    r'^(encoder.*)\.norm2\.': r'\1.norms.1.',
    r'^(decoder.*)\.norm2\.': r'\1.norms.2.',
}
LayerCfgs = Mapping[str, Mapping[str, Any]]


class StockTransformer(nn.Module):
    """mmdet's encoder and decoder.

    Args:
        size: Sizes.
        layer_cfgs: ``encoder`` and ``decoder`` -> mmdet's ``layer_cfg``.
    """

    def __init__(self, size: Size, layer_cfgs: LayerCfgs) -> None:
        super().__init__()
        self.encoder = DetrTransformerEncoder(size.layers, layer_cfgs['encoder'])
        self.decoder = DetrTransformerDecoder(size.layers, layer_cfgs['decoder'])
        for parameter in self.parameters():  # as mmdet's DETR.init_weights does
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, feat: Tensor, pos: Tensor, query: Tensor, query_pos: Tensor, padding: Optional[Tensor]) -> Tensor:
        """Run both; ``padding`` is ``(B, N)``, True at padding, or None. Returns ``(num_layers, B, Q, C)``."""
        memory = self.encoder(feat, pos, padding)
        return self.decoder(
            query=query, key=memory, value=memory, query_pos=query_pos, key_pos=pos, key_padding_mask=padding)


class LanguageTransformer(nn.Module):
    """LanguageDETR's encoder and decoder, with GPT-2's kind of block.

    Args:
        size: Sizes.
        weights: Weights of the other side, with which this one computes the same function if ``norm='post'``.
        **options: ``norm, attn_drop, proj_drop`` as in LanguageDETR.
    """

    def __init__(self, size: Size, weights: Optional[Mapping[str, Tensor]] = None, **options: Any) -> None:
        super().__init__()
        spec = read_spec(dict(
            model_type='gpt2', n_embd=size.width, n_head=size.width // HEAD_DIMS, n_inner=4 * size.width)).block
        self.encoder = LanguageDETREncoder(spec, size.layers, **options)
        self.decoder = LanguageDETRDecoder(spec, size.layers, **options)
        if weights is not None:
            take_over(self, weights, _NAMES, strict=False)  # pre-norm has a final norm of the encoder besides

    def forward(self, feat: Tensor, pos: Tensor, query: Tensor, query_pos: Tensor, padding: Optional[Tensor]) -> Tensor:
        """Run both, as :meth:`StockTransformer.forward` does."""
        mask = None if padding is None else ~padding[:, None, None, :]
        return self.decoder(query, query_pos, self.encoder(feat, pos, mask), pos, mask)


class Inputs:
    """What the neck, the positional encoding and the query embedding hand over, the same for both sides.

    Args:
        size: Sizes. Of the padded mask's last image, the right-most 30 per cent of the columns are padding.
    """

    def __init__(self, size: Size) -> None:
        height, columns = size.tokens
        self.feat = torch.randn(size.batch, height * columns, size.width, requires_grad=True)
        self.pos = torch.randn(size.batch, height * columns, size.width)
        self.embedding = nn.Parameter(torch.randn(size.queries, size.width))
        padding = torch.zeros(size.batch, height, columns, dtype=torch.bool)
        padding[-1, :, columns - round(0.3 * columns):] = True
        self.padding = padding.flatten(1)

    def run(self, model: nn.Module, padded: bool) -> Tensor:
        """One forward pass."""
        query_pos = self.embedding.expand(len(self.feat), -1, -1)
        return model(self.feat, self.pos, torch.zeros_like(query_pos), query_pos, self.padding if padded else None)


def build(row: Row, size: Size) -> Tuple[Dict[str, Contender], List[tuple]]:
    """All that take turns in a row: mmdet's layers, ours with either norm, with and without padding."""
    inputs = Inputs(size)

    def contender(model: nn.Module, padded: bool = False) -> Contender:
        return Contender(model, partial(inputs.run, model, padded), row.training, row.bf16, (inputs.feat, inputs.embedding))

    if row.options.get('shipped'):
        size = Size(**{**vars(size), 'layers': 2 * size.layers})
        model = Config.fromfile(config_path('detr_gpt2_coco.py')).model
        options = dict(norm=model.norm, attn_drop=model.attn_drop, proj_drop=model.proj_drop)
        models = {STOCK: StockTransformer(size, layer_cfgs(size)), SHIPPED: LanguageTransformer(size, **options)}
    else:
        options = dict(attn_drop=row.options.get('attn_drop', 0.), proj_drop=PROJ_DROP)
        stock = StockTransformer(size, layer_cfgs(size, options))
        models = {STOCK: stock, **{f'{norm}-norm': LanguageTransformer(size, stock.state_dict(), norm=norm, **options)
                                   for norm in ('pre', 'post')}}
    contenders = {name: contender(model) for name, model in models.items()}
    pairs = [(name, STOCK, row.wanted) for name in models if name != STOCK]
    if row.options.get('padded', True):
        contenders.update({f'{name}, padded': contender(models[name], padded=True) for name in (PRE, STOCK)})
        # with padding masks ours should be no slower than theirs without
        pairs += [(f'{PRE}, padded', STOCK, 1.), (f'{PRE}, padded', f'{STOCK}, padded', None)]
    return contenders, pairs


@torch.no_grad()
def describe(rows: Mapping[str, Row], size: Size) -> Dict[str, str]:
    """Sizes, and how far apart the outputs are with equal weights and post-norm, in float32 without dropout."""
    inputs, stock = Inputs(size), StockTransformer(size, layer_cfgs(size, dict(attn_drop=0., proj_drop=0.))).eval()
    ours = LanguageTransformer(size, stock.state_dict(), norm='post').eval()
    difference = (inputs.run(stock, padded=True) - inputs.run(ours, padded=True)).abs().max()
    return {'sizes': f'width {size.width}, {size.width // HEAD_DIMS} heads, {size.layers}+{size.layers} layers, batch '
            f'{size.batch}, {inputs.padding.shape[1]} tokens, {size.queries} queries',
            'largest difference of the outputs, post-norm': f'{difference:.1e}'}


def layer_cfgs(size: Size, drops: Optional[Mapping[str, float]] = None) -> LayerCfgs:
    """The layer configs of mmdet's own DETR-R50, with our widths.

    Args:
        size: Sizes.
        drops: ``attn_drop`` and ``proj_drop``, for layers with the dropouts and the activation of our blocks. mmcv's
            attention has three rates. ``attn_drop`` is that of the weights; ``proj_drop`` and ``dropout_layer`` both act
            on the output, so one of them is zero here (stock DETR uses ``dropout_layer``, with the rate it gives as
            ``dropout``). ``dropout_layer`` is always written out, in a dict for each: its default is one dict for all
            instances, and ``dropout=`` changes it. Defaults to None, those of that config.
    """
    model = get_config('mmdet::detr/detr_r50_8xb2-150e_coco.py').model
    cfgs = {part: model[part].layer_cfg.to_dict() for part in ('encoder', 'decoder')}
    for name, cfg in (item for part in cfgs.values() for item in part.items()):
        is_ffn = name == 'ffn_cfg'
        cfg.update(embed_dims=size.width, **(dict(feedforward_channels=4 * size.width) if is_ffn else
                                             dict(num_heads=size.width // HEAD_DIMS)))
        if drops and is_ffn:
            cfg.update(ffn_drop=drops['proj_drop'], act_cfg=dict(type='GELU', approximate='tanh'))
        elif drops:
            cfg.pop('dropout')
            cfg.update(attn_drop=drops['attn_drop'], proj_drop=0.,
                       dropout_layer=dict(type='Dropout', drop_prob=drops['proj_drop']))
    return cfgs
