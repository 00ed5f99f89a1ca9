"""GPT-2."""
from torch import Tensor
from transformers import PretrainedConfig

from ..spec import BlockSpec
from .family import Family, whole_heads


def _gpt2_spec(config: PretrainedConfig) -> BlockSpec:
    if config.scale_attn_by_inverse_layer_idx:
        raise ValueError('scale_attn_by_inverse_layer_idx=True is not supported: LanguageBlock has one attention '
                         'scale for all blocks. Use a GPT-2 checkpoint without it.')
    return BlockSpec(
        embed_dims=config.n_embd,
        num_heads=config.n_head,
        num_kv_heads=config.n_head,
        head_dims=config.n_embd // config.n_head,
        ffn_dims=config.n_inner or 4 * config.n_embd,
        norm='layer',
        norm_eps=config.layer_norm_epsilon,
        activation=config.activation_function,
        gated=False,
        qkv_bias=True,
        proj_bias=True,
        ffn_bias=True,
        attn_scale=None if config.scale_attn_weights else 1.0)


def _gpt2_from_gguf(name: str, tensor: Tensor, spec: BlockSpec) -> Tensor:
    """GGUF stores GPT-2's matrices as nn.Linear does; the checkpoint's Conv1D is their transpose."""
    return tensor.T.contiguous() if tensor.ndim == 2 and name != 'wpe.weight' else tensor


#: Matrices that write to the residual stream start smaller (GPT-2 paper, section 2.3).
GPT2 = Family(
    block_spec=_gpt2_spec,
    block_prefix='h.{i}.',
    root_prefixes=('', 'transformer.'),
    modules={'norm1': ('ln_1', ), 'norm2': ('ln_2', ), 'attn.qkv': ('attn.c_attn', ), 'attn.proj': ('attn.c_proj', ),
             'mlp.fc1': ('mlp.c_fc', ), 'mlp.fc2': ('mlp.c_proj', )},
    transposed=True,
    gguf_names={
        'block_count': 'n_layer',
        'context_length': 'n_positions',
        'embedding_length': 'n_embd',
        'feed_forward_length': 'n_inner',
        'attention.head_count': 'n_head',
        'attention.layer_norm_epsilon': 'layer_norm_epsilon',
    },
    final_norm=('ln_f.weight', 'ln_f.bias'),
    architecture='gpt2',
    activation='activation_function',
    position_table='wpe.weight',
    sizes=(('n_embd', 'hidden_size'), ('n_layer', 'num_hidden_layers'), ('n_head', 'num_attention_heads')),
    ignored=('attn.bias', 'attn.masked_bias'),
    output_scale=lambda num_blocks: (2 * num_blocks)**-0.5,
    check=whole_heads('n_embd', 'n_head'),
    from_gguf=_gpt2_from_gguf)
