import copy

import pytest
import torch
from mmengine import ConfigDict
from transformers import AutoConfig, AutoModelForCausalLM

from lbbt_mm.language import FAMILIES, block_tensors, read_spec
from lbbt_mm.language.families import random_tensor
from tests.tiny_checkpoints import CONFIGS, build_model, hf_blocks

LLAMA_3_2_1B = dict(
    model_type='llama', hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8,
    head_dim=64, num_hidden_layers=16, rms_norm_eps=1e-5, rope_theta=500000.0, max_position_embeddings=131072,
    rope_scaling=dict(factor=32.0, high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=8192,
                      rope_type='llama3'))


def config_of(model_type, **fields):
    return dict(CONFIGS[model_type], **fields)


def block_shapes(model, index=0):
    return {name: tuple(parameter.shape) for name, parameter in hf_blocks(model)[index].named_parameters()}


@pytest.mark.parametrize('model_type', FAMILIES)
def test_defaults_describe_the_block_that_transformers_builds(model_type):
    spec = read_spec(dict(model_type=model_type))
    with torch.device('meta'):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type))
    prefix = FAMILIES[model_type].block_prefix.format(i=3)
    assert block_tensors(spec, 3) == {prefix + name: shape for name, shape in block_shapes(model, 3).items()}
    assert spec.num_blocks == len(hf_blocks(model))


@pytest.mark.parametrize('model_type', FAMILIES)
def test_the_range_of_a_random_start_is_what_the_config_states_and_no_default(model_type):
    """transformers would fill in 0.02, which is not SmolLM2's."""
    assert read_spec(config_of(model_type, initializer_range=1 / 24)).initializer_range == 1 / 24
    assert read_spec(dict(model_type=model_type)).initializer_range is None


@pytest.mark.parametrize('value', ['0.02', True, 0, -0.02, float('inf'), float('nan'), 1e9, 10.1])
def test_a_range_that_is_no_standard_deviation_is_refused(value):
    with pytest.raises(ValueError, match=rf'language.config: initializer_range={value!r}; expected a standard deviation'):
        read_spec(config_of('llama', initializer_range=value))


@pytest.mark.parametrize('model_type, fields', [
    ('gpt2', dict(n_inner=48)),
    ('llama', dict(attention_bias=True, mlp_bias=True)),
    ('llama', dict(head_dim=16)),
    ('llama', dict(num_key_value_heads=None)),
    ('mistral', dict(head_dim=16)),
    ('qwen2', dict(num_key_value_heads=1)),
    ('qwen3', dict(head_dim=8, attention_bias=True)),
])
def test_config_fields_change_the_block_as_they_do_in_transformers(model_type, fields):
    spec = read_spec(config_of(model_type, **fields))
    prefix = FAMILIES[model_type].block_prefix.format(i=0)
    expected = block_shapes(build_model(model_type, **fields))
    assert block_tensors(spec, 0) == {prefix + name: shape for name, shape in expected.items()}


def test_gpt2_is_a_plain_layernorm_block_without_rotary():
    block = read_spec(dict(model_type='gpt2', n_embd=768, n_head=12, n_layer=12)).block
    assert (block.embed_dims, block.num_heads, block.head_dims, block.ffn_dims) == (768, 12, 64, 3072)
    assert (block.norm, block.gated, block.rotary, block.activation) == ('layer', False, None, 'gelu_new')
    assert block.qkv_bias and block.proj_bias and block.ffn_bias and block.attn_scale is None
    assert block.qkv_dims == [768, 768, 768]


def test_qwen2_has_qkv_biases_and_no_other():
    block = read_spec(config_of('qwen2')).block
    assert (block.qkv_bias, block.proj_bias, block.ffn_bias) == (True, False, False)


def test_qwen3_has_head_norms_and_heads_of_their_own_width():
    block = read_spec(config_of('qwen3')).block
    assert block.qk_norm and block.head_dims == 16 and block.qkv_dims == [64, 32, 32]


def test_llama_3_2_fields_keep_the_rule_that_stretches_the_context():
    block = read_spec(LLAMA_3_2_1B).block
    assert (block.num_kv_heads, block.head_dims, block.norm, block.gated) == (8, 64, 'rms', True)
    assert (block.rotary.theta, block.rotary.rope_type) == (500000.0, 'llama3')
    assert block.rotary.parameters['factor'] == 32.0


def test_rope_type_may_be_spelt_in_the_old_way():
    old = dict(LLAMA_3_2_1B, rope_scaling={**LLAMA_3_2_1B['rope_scaling'], 'type': 'llama3'})
    assert read_spec(old).block == read_spec(LLAMA_3_2_1B).block


def test_unscaled_gpt2_attention_keeps_its_scale():
    assert read_spec(config_of('gpt2', scale_attn_weights=False)).block.attn_scale == 1.0


def test_mmengine_config_dicts_are_read_and_left_as_they_are():
    config = ConfigDict(LLAMA_3_2_1B)
    before = copy.deepcopy(config)
    assert read_spec(config) == read_spec(LLAMA_3_2_1B)
    assert config == before


@pytest.mark.parametrize('model_type', ['bert', 'roberta', 'deberta-v2', 'modernbert'])
def test_encoder_only_model_is_refused_as_such(model_type):
    with pytest.raises(ValueError, match=f"somewhere: model_type='{model_type}' is an encoder-only language model; "
                                         'expected a decoder-only one .*gpt2, llama.*Choose'):
        read_spec(dict(model_type=model_type), where='somewhere')


@pytest.mark.parametrize('model_type', ['t5', None, 'llamma'])
def test_unknown_family_lists_the_known_ones(model_type):
    with pytest.raises(ValueError, match=f'model_type={model_type!r} is not supported; expected one of: gpt2, llama, '
                                         'mistral, qwen2, qwen3. .*families/'):
        read_spec(dict(model_type=model_type))


def test_heads_that_do_not_divide_the_width_are_an_error():
    with pytest.raises(ValueError, match='width 30 does not divide into 4 heads. Correct n_embd or n_head'):
        read_spec(dict(model_type='gpt2', n_embd=30, n_head=4))


def test_key_value_heads_that_do_not_divide_the_heads_are_an_error():
    with pytest.raises(ValueError, match='4 query heads cannot share 3 key/value heads.*Correct num_key_value_heads'):
        read_spec(config_of('llama', num_key_value_heads=3))


def test_gpt2_with_a_scale_per_layer_is_refused():
    with pytest.raises(ValueError, match='scale_attn_by_inverse_layer_idx=True is not supported'):
        read_spec(config_of('gpt2', scale_attn_by_inverse_layer_idx=True))


@pytest.mark.parametrize('model_type', FAMILIES)
def test_random_tensors_have_the_statistics_of_transformers_own_init(model_type):
    sizes = dict(n_embd=128) if model_type == 'gpt2' else dict(hidden_size=128, intermediate_size=256)
    fields = config_of(model_type, **sizes)
    spec = read_spec(fields)
    config = AutoConfig.for_model(model_type, **{key: fields[key] for key in fields if key != 'model_type'})
    fresh = dict(hf_blocks(AutoModelForCausalLM.from_config(config))[1].named_parameters())
    prefix = FAMILIES[model_type].block_prefix.format(i=1)
    generator = torch.Generator().manual_seed(0)
    for name, shape in block_tensors(spec, 1).items():
        ours, theirs = random_tensor(spec, name, shape, generator), fresh[name[len(prefix):]].detach()
        if theirs.ndim == 1:
            assert torch.equal(ours, theirs), name
        else:
            assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05), name
            assert abs(ours.mean().item()) < 0.05 * theirs.std().item(), name


def test_gpt2_random_init_shrinks_what_writes_to_the_residual_stream():
    spec = read_spec(dict(model_type='gpt2', n_embd=128, n_head=4, n_layer=8, initializer_range=0.02))
    generator = torch.Generator().manual_seed(0)
    plain = random_tensor(spec, 'h.0.mlp.c_fc.weight', (128, 512), generator)
    residual = random_tensor(spec, 'h.0.mlp.c_proj.weight', (512, 128), generator)
    assert plain.std().item() == pytest.approx(0.02, rel=0.02)
    assert residual.std().item() == pytest.approx(0.02 / 16**0.5, rel=0.02)
