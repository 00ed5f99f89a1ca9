"""Llama, and the models that are built like it."""
import math
from dataclasses import replace
from typing import Any, Collection, Dict, Mapping

from torch import Tensor
from transformers import PretrainedConfig

from lbbt_mm.argument_checks import is_number
from ..errors import CheckpointError
from ..gguf_fields import rename
from ..rotary import FREQUENCY_FACTORS
from ..spec import BlockSpec, RotarySpec
from .family import Family


def _rotary_spec(config: PretrainedConfig) -> RotarySpec:
    # transformers 5 keeps both in `rope_parameters`; 4 has `rope_theta` and `rope_scaling`.
    if getattr(config, 'partial_rotary_factor', None) not in (None, 1):
        raise ValueError(f'partial_rotary_factor={config.partial_rotary_factor!r:.40} is not supported: all of a head is '
                         'rotated')
    parameters = dict(getattr(config, 'rope_parameters', None) or getattr(config, 'rope_scaling', None) or {})
    theta = parameters.pop('rope_theta', None) or getattr(config, 'rope_theta', 10000.0)
    legacy_type = parameters.pop('type', None)
    rope_type = parameters.pop('rope_type', None) or legacy_type or 'default'
    nested = next((key for key, value in parameters.items() if isinstance(value, Mapping)), None)
    if nested is not None:
        raise ValueError(f'rope_parameters has a rule of its own for {nested!r:.40}; expected one rule for all blocks')
    if parameters.pop('partial_rotary_factor', None) not in (None, 1):
        raise ValueError('partial_rotary_factor in rope_parameters is not supported: all of a head is rotated')
    if rope_type == 'default' and parameters.get('factor') not in (None, 1):
        raise ValueError(f'rope_scaling has the factor {parameters["factor"]!r:.40} and no type; expected its rope_type')
    factors = getattr(config, 'rope_frequency_factors', None)
    if factors is not None:
        if rope_type != 'default':
            raise ValueError(f'rope_freqs.weight beside rope_scaling of type {rope_type!r}; expected one of them')
        rope_type, parameters = FREQUENCY_FACTORS, dict(factors=[float(factor) for factor in factors])
    return RotarySpec(
        theta=float(theta), rope_type=rope_type, parameters=parameters, max_positions=config.max_position_embeddings)


def _mistral_spec(config: PretrainedConfig) -> BlockSpec:
    """Without biases, whatever its config says."""
    head_dims = getattr(config, 'head_dim', None) or config.hidden_size // config.num_attention_heads
    return BlockSpec(
        embed_dims=config.hidden_size,
        num_heads=config.num_attention_heads,
        num_kv_heads=getattr(config, 'num_key_value_heads', None) or config.num_attention_heads,
        head_dims=head_dims,
        ffn_dims=config.intermediate_size,
        norm='rms',
        norm_eps=config.rms_norm_eps,
        activation=config.hidden_act,
        gated=True,
        qkv_bias=False,
        proj_bias=False,
        ffn_bias=False,
        rotary=_rotary_spec(config))


def _llama_spec(config: PretrainedConfig) -> BlockSpec:
    bias = bool(getattr(config, 'attention_bias', False))
    return replace(_mistral_spec(config), qkv_bias=bias, proj_bias=bias, ffn_bias=bool(getattr(config, 'mlp_bias', False)))


def _qwen2_spec(config: PretrainedConfig) -> BlockSpec:
    """Qwen2 has biases on query, key and value only, whatever its config says."""
    return replace(_mistral_spec(config), qkv_bias=True)


def _qwen3_spec(config: PretrainedConfig) -> BlockSpec:
    return replace(_llama_spec(config), qk_norm=True, ffn_bias=False)


def _llama_from_gguf(name: str, tensor: Tensor, spec: BlockSpec) -> Tensor:
    """llama.cpp interleaves the two rotary halves of each q and k head; Hugging Face stacks them."""
    heads = {'q_proj': spec.num_heads, 'k_proj': spec.num_kv_heads}.get(name.split('.')[-2])
    if heads is None:
        return tensor
    return tensor.reshape(heads, -1, 2, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def _gguf_windows(config: PretrainedConfig) -> Dict[int, int]:
    """A GGUF file has one for all blocks, or none."""
    window = getattr(config, 'gguf_window', None)
    return dict.fromkeys(range(config.num_hidden_layers), window) if window else {}


def _windows(config: PretrainedConfig) -> Dict[int, int]:
    """Of models whose config names the kind of each block, or of all by ``sliding_window`` alone."""
    if getattr(config, 'gguf_window', None):
        return _gguf_windows(config)
    window, kinds = getattr(config, 'sliding_window', None), getattr(config, 'layer_types', None)
    kinds = kinds or ['sliding_attention'] * config.num_hidden_layers
    unknown = set(kinds) - {'sliding_attention', 'full_attention'}
    if unknown:
        raise ValueError(f'layer_types has {sorted(map(str, unknown))[0]!r}; expected full_attention or sliding_attention')
    return {index: window for index, kind in enumerate(kinds) if kind == 'sliding_attention' and window is not None}


def _complete_gguf(config: Dict[str, Any], metadata: Mapping[str, Any], tensors: Collection[str]) -> Dict[str, Any]:
    # what llama.cpp assumes where a file leaves them out; the Hugging Face defaults differ
    heads, width = config['num_attention_heads'], config['hidden_size']
    if not all(isinstance(size, int) and size > 0 for size in (heads, width)):
        raise CheckpointError(f'attention.head_count={heads!r:.40} and embedding_length={width!r:.40}; expected one whole '
                              'number for all blocks')
    config = {'num_key_value_heads': heads, 'head_dim': width // heads, **config}
    for key in ('attention.value_length', 'rope.dimension_count'):
        if metadata.get(key, config['head_dim']) != config['head_dim']:
            raise CheckpointError(f'{key}={metadata[key]!r:.40} beside heads of width {config["head_dim"]!r:.40}; expected '
                                  'the same')
    # the file says nothing of biases but by having them
    config.update({key: True for key, ending in (('attention_bias', '.attn_output.bias'), ('mlp_bias', '.ffn_down.bias'))
                   if any(name.endswith(ending) for name in tensors)})
    return {**config, **_rope_scaling(metadata)}


def _rope_scaling(metadata: Mapping[str, Any]) -> Dict[str, Any]:
    """The rule that stretches the context; ``rope.scale_linear`` is its old name."""
    factor = metadata.get('rope.scaling.factor', metadata.get('rope.scale_linear', 1.))
    kind = metadata.get('rope.scaling.type') or ('none' if factor in (0, 1) else 'linear')  # llama.cpp's own default
    if kind == 'none':
        return {}
    if kind not in ('linear', 'yarn'):
        raise CheckpointError(f'rope.scaling.type={kind!r:.40}; expected none, linear or yarn')
    if not is_number(factor, above=0):
        raise CheckpointError(f'rope.scaling.factor={factor!r:.40}; expected a number above 0')
    scaling: Dict[str, Any] = dict(rope_type=kind, factor=factor)
    attention = metadata.get('rope.scaling.attn_factor', 1.)
    if kind == 'yarn':
        scaling.update(rename(metadata, {
            'rope.scaling.original_context_length': 'original_max_position_embeddings',
            'rope.scaling.yarn_beta_fast': 'beta_fast',
            'rope.scaling.yarn_beta_slow': 'beta_slow',
        }))
        if attention != 1.:  # llama.cpp multiplies its own with it
            scaling['attention_factor'] = attention * (0.1 * math.log(factor) + 1.)
    elif attention != 1.:
        raise CheckpointError(f'rope.scaling.attn_factor={attention!r:.40} with a linear rule; expected 1')
    return dict(rope_scaling=scaling)


LLAMA = Family(
    block_spec=_llama_spec,
    block_prefix='layers.{i}.',
    root_prefixes=('model.', '', 'language_model.model.', 'model.language_model.', 'model.text_model.'),
    modules={'norm1': ('input_layernorm', ), 'norm2': ('post_attention_layernorm', ),
             'attn.q_norm': ('self_attn.q_norm', ), 'attn.k_norm': ('self_attn.k_norm', ),
             'attn.qkv': ('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'), 'attn.proj': ('self_attn.o_proj', ),
             'mlp.fc1': ('mlp.gate_proj', 'mlp.up_proj'), 'mlp.fc2': ('mlp.down_proj', )},
    gguf_names={
        'block_count': 'num_hidden_layers',
        'context_length': 'max_position_embeddings',
        'embedding_length': 'hidden_size',
        'feed_forward_length': 'intermediate_size',
        'attention.head_count': 'num_attention_heads',
        'attention.head_count_kv': 'num_key_value_heads',
        'attention.key_length': 'head_dim',
        'attention.layer_norm_rms_epsilon': 'rms_norm_eps',
        'attention.sliding_window': 'gguf_window',
        'rope.freq_base': 'rope_theta',
    },
    complete_gguf=_complete_gguf,
    final_norm=('norm.weight', ),
    architecture='llama',
    sizes=(('hidden_size', ), ('num_hidden_layers', ), ('num_attention_heads', )),
    ignored=('self_attn.rotary_emb.inv_freq', ),
    windows=_gguf_windows,
    from_gguf=_llama_from_gguf)
#: llama.cpp stores it as a Llama.
MISTRAL = replace(LLAMA, block_spec=_mistral_spec, windows=_windows)
QWEN2 = replace(MISTRAL, block_spec=_qwen2_spec, architecture='qwen2', from_gguf=Family.from_gguf)
QWEN3 = replace(MISTRAL, block_spec=_qwen3_spec, architecture='qwen3', from_gguf=Family.from_gguf)
