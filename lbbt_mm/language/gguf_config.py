"""The metadata of GGUF files as Hugging Face config fields. What changes a model's function is read, or refused."""
import math
from typing import Any, Collection, Dict, Mapping

from .errors import CheckpointError

#: Metadata that would make a block another function than the ones here, and the value that does not.
_NEUTRAL = {
    'attention.causal': True, 'attention.clamp_kqv': 0., 'attention.max_alibi_bias': 0., 'attention.output_scale': 1.,
    'attention.scale': 0., 'attention.shared_kv_layers': 0, 'attn_logit_softcapping': 0., 'expert_count': 0,
    'expert_used_count': 0, 'residual_scale': 1., 'rope.dimension_count_swa': None, 'rope.dimension_sections': None,
    'rope.freq_base_swa': None, 'rope.scaling.alpha': 0., 'rope.scaling.yarn_attn_factor': 1.,
    'rope.scaling.yarn_ext_factor': 1., 'rope.scaling.yarn_log_multiplier': 0., 'use_parallel_residual': False,
}


def gpt2_config(metadata: Mapping[str, Any], parts: Collection[str]) -> Dict[str, Any]:
    """Config fields of a GPT-2.

    Args:
        metadata: The file's, by key without the architecture's name.
        parts: Names of tensors within a block.

    Returns:
        dict: Hugging Face config fields.

    Raises:
        KeyError: If the metadata lack a size.
        CheckpointError: If they ask for a function that a block cannot have.
    """
    _refuse_other_functions(metadata)
    return _rename(
        metadata, {
            'block_count': 'n_layer',
            'context_length': 'n_positions',
            'embedding_length': 'n_embd',
            'feed_forward_length': 'n_inner',
            'attention.head_count': 'n_head',
            'attention.layer_norm_epsilon': 'layer_norm_epsilon',
        })


def llama_config(metadata: Mapping[str, Any], parts: Collection[str]) -> Dict[str, Any]:
    """Config fields of a Llama or of a model built like it; see :func:`gpt2_config`."""
    _refuse_other_functions(metadata)
    config = _rename(
        metadata, {
            'block_count': 'num_hidden_layers',
            'context_length': 'max_position_embeddings',
            'embedding_length': 'hidden_size',
            'feed_forward_length': 'intermediate_size',
            'attention.head_count': 'num_attention_heads',
            'attention.head_count_kv': 'num_key_value_heads',
            'attention.key_length': 'head_dim',
            'attention.layer_norm_rms_epsilon': 'rms_norm_eps',
            'rope.freq_base': 'rope_theta',
        })
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
    config.update({key: True for key, tensor in (('attention_bias', 'attn_output.bias'), ('mlp_bias', 'ffn_down.bias'))
                   if tensor in parts})
    if metadata.get('attention.sliding_window'):
        config['sliding_window'] = metadata['attention.sliding_window']
    return {**config, **_rope_scaling(metadata)}


def _rope_scaling(metadata: Mapping[str, Any]) -> Dict[str, Any]:
    """The rule that stretches the context; ``rope.scale_linear`` is its old name."""
    kind = metadata.get('rope.scaling.type', 'linear' if 'rope.scale_linear' in metadata else 'none')
    if kind == 'none':
        return {}
    if kind not in ('linear', 'yarn'):
        raise CheckpointError(f'rope.scaling.type={kind!r:.40}; expected none, linear or yarn')
    factor = metadata.get('rope.scaling.factor', metadata.get('rope.scale_linear', 1.))
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < math.inf:
        raise CheckpointError(f'rope.scaling.factor={factor!r:.40}; expected a number above 0')
    scaling: Dict[str, Any] = dict(rope_type=kind, factor=factor)
    attention = metadata.get('rope.scaling.attn_factor', 1.)
    if kind == 'yarn':
        scaling.update(_rename(metadata, {
            'rope.scaling.original_context_length': 'original_max_position_embeddings',
            'rope.scaling.yarn_beta_fast': 'beta_fast',
            'rope.scaling.yarn_beta_slow': 'beta_slow',
        }))
        if attention != 1.:  # llama.cpp multiplies its own with it
            scaling['attention_factor'] = attention * (0.1 * math.log(factor) + 1.)
    elif attention != 1.:
        raise CheckpointError(f'rope.scaling.attn_factor={attention!r:.40} with a linear rule; expected 1')
    return dict(rope_scaling=scaling)


def _refuse_other_functions(metadata: Mapping[str, Any]) -> None:
    for key, neutral in _NEUTRAL.items():
        if metadata.get(key, neutral) not in (neutral, 0 if isinstance(neutral, float) and not neutral else neutral):
            raise CheckpointError(f'{key}={metadata[key]!r:.40}; expected {"none" if neutral is None else neutral}: a block '
                                  'with it would compute something else')


def _rename(fields: Mapping[str, Any], names: Mapping[str, str]) -> Dict[str, Any]:
    return {name: fields[key] for key, name in names.items() if key in fields}
