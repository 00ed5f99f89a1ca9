"""OPT (Zhang et al., arXiv 2205.01068)."""
from transformers import PretrainedConfig

from ..spec import BlockSpec
from .family import Family, whole_heads


def _is_pre_norm(config: PretrainedConfig) -> bool:
    """All sizes but OPT-350M, whose norms stand after each residual sum."""
    order = config.do_layer_norm_before
    if not isinstance(order, bool):
        raise ValueError(f'do_layer_norm_before={order!r:.40}; expected True or False')
    return order


def _opt_spec(config: PretrainedConfig) -> BlockSpec:
    if not getattr(config, 'layer_norm_elementwise_affine', True):
        raise ValueError('layer_norm_elementwise_affine=False is not supported: the norms of a LanguageBlock have weights. '
                         'Use an OPT checkpoint that has them')
    bias = getattr(config, 'enable_bias', True)
    return BlockSpec(
        embed_dims=config.hidden_size,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_attention_heads,
        head_dims=config.hidden_size // config.num_attention_heads,
        ffn_dims=config.ffn_dim,
        norm='layer',
        norm_eps=1e-5,  # torch's default; its config has no field for it
        activation=config.activation_function,
        gated=False,
        qkv_bias=bias,
        proj_bias=bias,
        ffn_bias=bias,
        norm_order='pre' if _is_pre_norm(config) else 'post')


def _has_final_norm(config: PretrainedConfig) -> bool:
    """Where norms stand before the branches, but for models that were fine-tuned with the first code of transformers."""
    return _is_pre_norm(config) and not getattr(config, '_remove_final_layer_norm', False)


#: llama.cpp has no OPT. Word embeddings of another width than the stream (OPT-350M) do not concern a block.
OPT = Family(
    block_spec=_opt_spec,
    block_prefix='layers.{i}.',
    root_prefixes=('model.decoder.', 'decoder.', '', 'language_model.model.decoder.'),
    modules={'norm1': ('self_attn_layer_norm', ), 'norm2': ('final_layer_norm', ),
             'attn.qkv': ('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'), 'attn.proj': ('self_attn.out_proj', ),
             'mlp.fc1': ('fc1', ), 'mlp.fc2': ('fc2', )},
    final_norm=('final_layer_norm.weight', 'final_layer_norm.bias'),
    has_final_norm=_has_final_norm,
    activation='activation_function',
    std='init_std',
    position_table='embed_positions.weight',
    first_position=2,  # fairseq's numbers of positions begin behind the padding's
    sizes=(('hidden_size', ), ('num_hidden_layers', ), ('num_attention_heads', ), ('ffn_dim', )),
    check=whole_heads('hidden_size', 'num_attention_heads'))
