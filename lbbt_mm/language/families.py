"""Language-model families: Hugging Face config -> :class:`BlockSpec`, checkpoint tensors -> LanguageBlock names.

Adding a family is one entry in :data:`FAMILIES`.
"""
import math
from dataclasses import dataclass, replace
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor
from transformers import AutoConfig, PretrainedConfig

from .errors import CheckpointError
from .gguf_config import gpt2_config, llama_config
from .rotary import FREQUENCY_FACTORS, inverse_frequencies
from .spec import BlockSpec, LanguageModelSpec, RotarySpec, plain
from .spec_checks import check_block_count, check_spec


@dataclass(frozen=True)
class SourceTensor:
    """One tensor of a block in a checkpoint: its name within the block and its shape there."""
    name: str
    shape: Tuple[int, ...]


@dataclass(frozen=True)
class TensorRule:
    """How one LanguageBlock parameter is filled from a block's tensors.

    Args:
        target: Parameter name within LanguageBlock.
        sources: Tensors that fill it, stacked along its first dimension.
        transpose: Whether the checkpoint stores the matrices transposed (GPT-2's Conv1D).
    """
    target: str
    sources: Tuple[SourceTensor, ...]
    transpose: bool = False


@dataclass(frozen=True)
class Family:
    """What tells one family of language models from another.

    Args:
        block_spec: Reads a :class:`BlockSpec` from the Hugging Face config.
        block_prefix: Name of block ``i`` in the canonical tensor names, with ``{i}``.
        root_prefixes: What checkpoints put before ``block_prefix``, most common first.
        rules: The copying rules of a block.
        final_norm: Names of the tensors of the norm behind the last block.
        position_table: Name of the learned position table, in families that have one.
        gguf_config: Reads the Hugging Face config fields from a GGUF file's metadata, whose keys come
            without the architecture's name, and the names of tensors within a block.
        ignored: Names within a block that are buffers, not parameters.
        residual_outputs: Matrices that write to the residual stream and that the family's own random
            init scales by ``(2 * num_blocks) ** -0.5``.
        from_gguf: Undoes what llama.cpp's converter did to a tensor: ``(name, tensor, spec) -> tensor``.
    """
    block_spec: Callable[[PretrainedConfig], BlockSpec]
    block_prefix: str
    root_prefixes: Tuple[str, ...]
    rules: Callable[[BlockSpec], List[TensorRule]]
    gguf_config: Callable[[Mapping[str, Any], Collection[str]], Dict[str, Any]]
    final_norm: Tuple[str, ...]
    position_table: Optional[str] = None
    ignored: Tuple[str, ...] = ()
    residual_outputs: Tuple[str, ...] = ()
    from_gguf: Callable[[str, Tensor, BlockSpec], Tensor] = lambda name, tensor, spec: tensor


# --------------------------------------------------------------------------------------- GPT-2
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


def _gpt2_rules(spec: BlockSpec) -> List[TensorRule]:
    width, hidden = spec.embed_dims, spec.ffn_dims
    rules = []
    for target, source in (('norm1', 'ln_1'), ('norm2', 'ln_2')):
        rules += [TensorRule(f'{target}.{part}', (SourceTensor(f'{source}.{part}', (width, )), ))
                  for part in ('weight', 'bias')]
    for target, source, rows, columns in (('attn.qkv', 'attn.c_attn', width, 3 * width),
                                          ('attn.proj', 'attn.c_proj', width, width),
                                          ('mlp.fc1', 'mlp.c_fc', width, hidden),
                                          ('mlp.fc2', 'mlp.c_proj', hidden, width)):
        rules.append(TensorRule(f'{target}.weight', (SourceTensor(f'{source}.weight', (rows, columns)), ), True))
        rules.append(TensorRule(f'{target}.bias', (SourceTensor(f'{source}.bias', (columns, )), )))
    return rules


def _gpt2_from_gguf(name: str, tensor: Tensor, spec: BlockSpec) -> Tensor:
    """GGUF stores GPT-2's matrices as nn.Linear does; the checkpoint's Conv1D is their transpose."""
    return tensor.T.contiguous() if tensor.ndim == 2 and name != 'wpe.weight' else tensor


# ------------------------------------------------------------- Llama and the models built like it
def _rotary_spec(config: PretrainedConfig) -> RotarySpec:
    # transformers 5 keeps both in `rope_parameters`; 4 has `rope_theta` and `rope_scaling`.
    if getattr(config, 'partial_rotary_factor', None) not in (None, 1):
        raise ValueError(f'partial_rotary_factor={config.partial_rotary_factor!r:.40} is not supported: all of a head is '
                         'rotated')
    parameters = dict(getattr(config, 'rope_parameters', None) or getattr(config, 'rope_scaling', None) or {})
    theta = parameters.pop('rope_theta', None) or getattr(config, 'rope_theta', 10000.0)
    legacy_type = parameters.pop('type', None)
    rope_type = parameters.pop('rope_type', None) or legacy_type or 'default'
    factors = getattr(config, 'rope_frequency_factors', None)
    if factors is not None:
        if rope_type != 'default':
            raise ValueError(f'rope_freqs.weight beside rope_scaling of type {rope_type!r}; expected one of them')
        rope_type, parameters = FREQUENCY_FACTORS, dict(factors=[float(factor) for factor in factors])
    return RotarySpec(
        theta=float(theta), rope_type=rope_type, parameters=parameters, max_positions=config.max_position_embeddings)


def _llama_spec(config: PretrainedConfig) -> BlockSpec:
    head_dims = getattr(config, 'head_dim', None) or config.hidden_size // config.num_attention_heads
    bias = bool(getattr(config, 'attention_bias', False))
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
        qkv_bias=bias,
        proj_bias=bias,
        ffn_bias=bool(getattr(config, 'mlp_bias', False)),
        rotary=_rotary_spec(config))


def _qwen2_spec(config: PretrainedConfig) -> BlockSpec:
    """Qwen2 has biases on query, key and value only, whatever its config says."""
    return replace(_llama_spec(config), qkv_bias=True, proj_bias=False)


def _qwen3_spec(config: PretrainedConfig) -> BlockSpec:
    return replace(_llama_spec(config), qk_norm=True)


def _llama_rules(spec: BlockSpec) -> List[TensorRule]:
    width, hidden, qkv_dims = spec.embed_dims, spec.ffn_dims, spec.qkv_dims
    qkv = tuple(zip(('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'), qkv_dims))
    rules = [
        TensorRule('norm1.weight', (SourceTensor('input_layernorm.weight', (width, )), )),
        TensorRule('norm2.weight', (SourceTensor('post_attention_layernorm.weight', (width, )), ))
    ]
    if spec.qk_norm:
        rules += [TensorRule(f'attn.{x}_norm.weight', (SourceTensor(f'self_attn.{x}_norm.weight',
                                                                    (spec.head_dims, )), )) for x in 'qk']
    for target, outputs, inputs, has_bias in (
        ('attn.qkv', qkv, width, spec.qkv_bias),
        ('attn.proj', (('self_attn.o_proj', width), ), qkv_dims[0], spec.proj_bias),
        ('mlp.fc1', (('mlp.gate_proj', hidden), ('mlp.up_proj', hidden)), width, spec.ffn_bias),
        ('mlp.fc2', (('mlp.down_proj', width), ), hidden, spec.ffn_bias)):
        rules.append(TensorRule(f'{target}.weight',
                                tuple(SourceTensor(f'{name}.weight', (rows, inputs)) for name, rows in outputs)))
        if has_bias:
            rules.append(TensorRule(f'{target}.bias',
                                    tuple(SourceTensor(f'{name}.bias', (rows, )) for name, rows in outputs)))
    return rules


def _llama_from_gguf(name: str, tensor: Tensor, spec: BlockSpec) -> Tensor:
    """llama.cpp interleaves the two rotary halves of each q and k head; Hugging Face stacks them."""
    heads = {'q_proj': spec.num_heads, 'k_proj': spec.num_kv_heads}.get(name.split('.')[-2])
    if heads is None:
        return tensor
    return tensor.reshape(heads, -1, 2, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


_LLAMA = Family(
    block_spec=_llama_spec,
    block_prefix='layers.{i}.',
    root_prefixes=('model.', '', 'language_model.model.', 'model.language_model.', 'model.text_model.'),
    rules=_llama_rules,
    gguf_config=llama_config,
    final_norm=('norm.weight', ),
    ignored=('self_attn.rotary_emb.inv_freq', ),
    from_gguf=_llama_from_gguf)

FAMILIES: Dict[str, Family] = {
    'gpt2': Family(
        block_spec=_gpt2_spec,
        block_prefix='h.{i}.',
        root_prefixes=('', 'transformer.'),
        rules=_gpt2_rules,
        gguf_config=gpt2_config,
        final_norm=('ln_f.weight', 'ln_f.bias'),
        position_table='wpe.weight',
        ignored=('attn.bias', 'attn.masked_bias'),
        residual_outputs=('attn.c_proj.weight', 'mlp.c_proj.weight'),
        from_gguf=_gpt2_from_gguf),
    'llama': _LLAMA,
    'mistral': _LLAMA,
    'qwen2': replace(_LLAMA, block_spec=_qwen2_spec, from_gguf=Family.from_gguf),
    'qwen3': replace(_LLAMA, block_spec=_qwen3_spec, from_gguf=Family.from_gguf),
}

# Named so that the commonest wrong choice gets the reason, not only the list of what is supported.
_ENCODER_ONLY = ('albert', 'bert', 'camembert', 'deberta', 'deberta-v2', 'distilbert', 'electra', 'modernbert',
                 'mpnet', 'roberta', 'xlm-roberta')


def is_supported(model_type: Any) -> bool:
    """Whether a ``model_type``, of whatever type it is, names a family."""
    return isinstance(model_type, str) and model_type in FAMILIES


def get_family(model_type: Optional[str], where: str) -> Family:
    """Look a family up.

    Args:
        model_type: Hugging Face ``model_type``.
        where: Where it was read, for the message.

    Raises:
        ValueError: If the family is not supported.
    """
    if is_supported(model_type):
        return FAMILIES[model_type]
    supported = ', '.join(FAMILIES)
    if model_type in _ENCODER_ONLY:
        raise CheckpointError(f"{where}: model_type='{model_type}' is an encoder-only language model; expected a "
                         f'decoder-only one ({supported}). Choose a checkpoint of one of those families.')
    raise CheckpointError(f'{where}: model_type={model_type!r:.60} is not supported; expected one of: {supported}. Choose '
                     'another checkpoint, or add the family to lbbt_mm/language/families.py.')


def read_spec(config: Dict[str, Any], where: str = 'language.config') -> LanguageModelSpec:
    """Read what the blocks of a language model are from its Hugging Face config fields.

    Args:
        config: Hugging Face config fields; those left out take the family's defaults.
        where: Where the fields come from, for messages.

    Returns:
        LanguageModelSpec: The model's spec.

    Raises:
        ValueError: If the family is not supported or the sizes contradict each other.
    """
    fields = plain({key: value for key, value in config.items() if key != 'model_type'})
    family = get_family(config.get('model_type'), where)
    check_block_count(fields, where)
    try:
        hf_config = AutoConfig.for_model(config['model_type'], **fields)
        block = family.block_spec(hf_config)
        windows = _windows(hf_config)
        num_positions = hf_config.max_position_embeddings
    except Exception as error:  # transformers, its validators and what they call each raise their own types
        raise CheckpointError(f'{where}: its fields cannot be read ({str(error) or type(error).__name__:.300}). Expected '
                              f'the fields of a {config["model_type"]} model, numbers where a size is meant; found '
                              f'{str(fields):.600}. Correct the field.') from None
    spec = LanguageModelSpec(
        model_type=config['model_type'],
        block=block,
        num_blocks=hf_config.num_hidden_layers,
        initializer_range=_read_range(config.get('initializer_range'), where),
        num_positions=num_positions,
        config=dict(config),
        windows=windows)
    check_spec(spec, where)
    if block.num_heads % block.num_kv_heads:
        raise CheckpointError(f'{where}: {block.num_heads} query heads cannot share {block.num_kv_heads} key/value heads; '
                              'expected a divisor. Correct num_key_value_heads.')
    # only GPT-2 derives the head width by division; a remainder would silently drop channels
    if config['model_type'] == 'gpt2' and block.embed_dims % block.num_heads:
        raise CheckpointError(f'{where}: width {block.embed_dims} does not divide into {block.num_heads} heads. Correct '
                              'n_embd or n_head.')
    if block.rotary is not None:
        try:
            inverse_frequencies(block.rotary, block.head_dims, block.num_heads)
        except ValueError as error:
            raise CheckpointError(f'{where}: {error}. Correct the rotary fields, or take another checkpoint.') from None
    return spec


def _windows(config: PretrainedConfig) -> Dict[int, int]:
    """Block -> sliding window, of those that attend in one; Qwen names the kind of each block, all of Mistral's have it."""
    window, kinds = getattr(config, 'sliding_window', None), getattr(config, 'layer_types', None)
    if config.model_type in ('gpt2', 'llama'):  # these know no window, whatever their config has
        return {}
    kinds = kinds or ['sliding_attention'] * config.num_hidden_layers
    unknown = set(kinds) - {'sliding_attention', 'full_attention'}
    if unknown:
        raise ValueError(f'layer_types has {sorted(map(str, unknown))[0]!r}; expected full_attention or sliding_attention')
    return {index: window for index, kind in enumerate(kinds) if kind == 'sliding_attention' and window is not None}


def _read_range(value: Any, where: str) -> Optional[float]:
    """The standard deviation that a config states; None where it states none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise CheckpointError(f'{where}: initializer_range={value!r:.60}; expected a standard deviation, a number above 0. '
                         'Correct it.')
    return float(value)


def block_tensors(spec: LanguageModelSpec, index: int) -> Dict[str, Tuple[int, ...]]:
    """Canonical names and shapes of the tensors of block ``index`` in a checkpoint of this language model."""
    family = FAMILIES[spec.model_type]
    prefix = family.block_prefix.format(i=index)
    return {prefix + source.name: source.shape for rule in family.rules(spec.block) for source in rule.sources}


def model_tensors(spec: LanguageModelSpec, part: str) -> Dict[str, Tuple[int, ...]]:
    """Canonical names and shapes of tensors outside the blocks.

    Args:
        spec: The language model.
        part: ``final_norm`` or ``position_table``.

    Returns:
        dict[str, tuple]: Name -> shape; empty if the family has no such part.
    """
    family, width = FAMILIES[spec.model_type], spec.block.embed_dims
    if part == 'final_norm':
        return {name: (width, ) for name in family.final_norm}
    return {family.position_table: (spec.num_positions, width)} if family.position_table else {}


def random_tensor(spec: LanguageModelSpec, name: str, shape: Tuple[int, ...],
                  generator: torch.Generator) -> Tensor:
    """Draw one tensor as the language model's own random initialisation does.

    Norm weights are one, biases zero, matrices normal with the family's ``initializer_range``; GPT-2 divides the
    matrices that write to the residual stream by ``sqrt(2 * num_blocks)`` (GPT-2 paper, section 2.3).
    """
    if name.endswith('.bias'):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    std = spec.initializer_range
    if name.endswith(FAMILIES[spec.model_type].residual_outputs or ('\0', )):
        std *= residual_scale(spec)
    return torch.randn(shape, generator=generator) * std


def residual_scale(spec: LanguageModelSpec) -> float:
    """What a model's random initialisation multiplies the standard deviation of residual outputs by."""
    return (2 * spec.num_blocks)**-0.5 if FAMILIES[spec.model_type].residual_outputs else 1.
