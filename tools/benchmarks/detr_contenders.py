"""The two sides of the comparison: mmdet's DETR transformer and LanguageDETR's, called in the same way."""
from typing import Any, Dict, Mapping, Optional

import torch
from matrix_floor import TransformerSize
from mmdet.models.layers import DetrTransformerDecoder, DetrTransformerEncoder
from mmengine.hub import get_config
from torch import Tensor, nn

from lbbt_mm.language import read_spec
from lbbt_mm.models.layers import LanguageDETRDecoder, LanguageDETREncoder

# Our parameter names -> mmdet's, for layers without and with cross-attention.
_NAMES = {
    '.attn.qkv.': '.self_attn.attn.in_proj_',
    '.attn.proj.': '.self_attn.attn.out_proj.',
    '.cross_attn.qkv.': '.cross_attn.attn.in_proj_',
    '.cross_attn.proj.': '.cross_attn.attn.out_proj.',
    '.mlp.fc1.': '.ffn.layers.0.0.',
    '.mlp.fc2.': '.ffn.layers.1.',
    '.norm1.': '.norms.0.',
    '.cross_norm.': '.norms.1.',
}


class StockTransformer(nn.Module):
    """mmdet's encoder and decoder.

    Args:
        size: Sizes.
        layer_cfgs: ``encoder`` and ``decoder`` -> mmdet's ``layer_cfg``.
    """

    def __init__(self, size: TransformerSize, layer_cfgs: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.encoder = DetrTransformerEncoder(size.num_layers, layer_cfgs['encoder'])
        self.decoder = DetrTransformerDecoder(size.num_layers, layer_cfgs['decoder'])
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
        **options: ``norm, attn_drop, proj_drop`` as in LanguageDETR.
    """

    def __init__(self, size: TransformerSize, **options: Any) -> None:
        super().__init__()
        spec = read_spec(dict(model_type='gpt2', n_embd=size.width, n_head=size.num_heads, n_inner=size.ffn_dims)).block
        self.encoder = LanguageDETREncoder(spec, size.num_layers, **options)
        self.decoder = LanguageDETRDecoder(spec, size.num_layers, **options)

    def forward(self, feat: Tensor, pos: Tensor, query: Tensor, query_pos: Tensor, padding: Optional[Tensor]) -> Tensor:
        """Run both, as :meth:`StockTransformer.forward` does."""
        mask = None if padding is None else ~padding[:, None, None, :]
        return self.decoder(query, query_pos, self.encoder(feat, pos, mask), pos, mask)

    @torch.no_grad()
    def copy_from(self, stock: StockTransformer) -> 'LanguageTransformer':
        """Take over the other side's weights; with ``norm='post'`` both then compute the same function."""
        weights = stock.state_dict()
        for name, parameter in self.named_parameters():
            for ours, theirs in _NAMES.items():
                name = name.replace(ours, theirs)
            name = name.replace('.norm2.', '.norms.2.' if name.startswith('decoder.') else '.norms.1.')
            if name in weights:  # pre-norm has a final norm of the encoder besides
                parameter.copy_(weights[name])
        return self


class Inputs:
    """What the neck, the positional encoding and the query embedding hand over, the same for both sides.

    Args:
        size: Sizes. Of the padded mask's last image, the right-most 30 per cent of the columns are padding.
    """

    def __init__(self, size: TransformerSize) -> None:
        self.feat = torch.randn(size.batch, size.tokens, size.width, requires_grad=True)
        self.pos = torch.randn(size.batch, size.tokens, size.width)
        self.embedding = nn.Parameter(torch.randn(size.queries, size.width))
        padding = torch.zeros(size.batch, size.height, size.columns, dtype=torch.bool)
        padding[-1, :, size.columns - round(0.3 * size.columns):] = True
        self.padding = padding.flatten(1)

    def run(self, model: nn.Module, padded: bool) -> Tensor:
        """One forward pass."""
        query_pos = self.embedding.expand(len(self.feat), -1, -1)
        return model(self.feat, self.pos, torch.zeros_like(query_pos), query_pos, self.padding if padded else None)

    def clear_gradients(self, model: nn.Module) -> None:
        """Forget gradients, of the inputs too."""
        model.zero_grad(set_to_none=True)
        self.feat.grad = self.embedding.grad = None


def equal_dropout_cfgs(size: TransformerSize, attn_drop: float, proj_drop: float) -> Dict[str, Dict[str, Any]]:
    """mmdet layer configs with the dropouts and the activation of our blocks.

    mmcv's attention has three rates. ``attn_drop`` is that of the weights; ``proj_drop`` and ``dropout_layer`` both act
    on the output, so one of them is zero here (stock DETR uses ``dropout_layer``, with the rate it gives as ``dropout``).
    ``dropout_layer`` is always written out: its default is one dict for all instances, and ``dropout=`` changes it.
    """

    def attention() -> Dict[str, Any]:
        return dict(
            embed_dims=size.width,
            num_heads=size.num_heads,
            attn_drop=attn_drop,
            proj_drop=0.,
            dropout_layer=dict(type='Dropout', drop_prob=proj_drop),
            batch_first=True)

    def ffn() -> Dict[str, Any]:
        return dict(
            embed_dims=size.width,
            feedforward_channels=size.ffn_dims,
            num_fcs=2,
            ffn_drop=proj_drop,
            act_cfg=dict(type='GELU', approximate='tanh'))

    return dict(
        encoder=dict(self_attn_cfg=attention(), ffn_cfg=ffn()),
        decoder=dict(self_attn_cfg=attention(), cross_attn_cfg=attention(), ffn_cfg=ffn()))


def stock_config_cfgs(size: TransformerSize) -> Dict[str, Dict[str, Any]]:
    """The layer configs of mmdet's own DETR-R50, with nothing but the widths changed."""
    model = get_config('mmdet::detr/detr_r50_8xb2-150e_coco.py').model
    cfgs = {}
    for part in ('encoder', 'decoder'):
        cfgs[part] = model[part].layer_cfg.to_dict()
        for name, cfg in cfgs[part].items():
            cfg['embed_dims'] = size.width
            cfg.update(dict(feedforward_channels=size.ffn_dims) if name == 'ffn_cfg' else dict(num_heads=size.num_heads))
    return cfgs
