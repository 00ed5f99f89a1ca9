"""Families: what the fields of a config say of a block."""
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lbbt_mm.language import FAMILIES, block_tensors, read_spec
from tests.tiny_checkpoints import build_model, config_of, hf_blocks


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
    field = FAMILIES[model_type].std
    assert read_spec(config_of(model_type, **{field: 1 / 24})).initializer_range == 1 / 24
    assert read_spec(dict(model_type=model_type)).initializer_range is None


@pytest.mark.parametrize('model_type, fields', [
    ('gpt2', dict(n_inner=48)),
    ('llama', dict(attention_bias=True, mlp_bias=True)),
    ('llama', dict(head_dim=16)),
    ('llama', dict(num_key_value_heads=None)),
    ('mistral', dict(head_dim=16)),
    ('qwen2', dict(num_key_value_heads=1)),
    ('qwen3', dict(head_dim=8, attention_bias=True)),
    ('opt', dict(ffn_dim=48, enable_bias=False)),
    ('opt', dict(do_layer_norm_before=False, word_embed_proj_dim=16)),
])
def test_config_fields_change_the_block_as_they_do_in_transformers(model_type, fields):
    spec = read_spec(config_of(model_type, **fields))
    prefix = FAMILIES[model_type].block_prefix.format(i=0)
    expected = block_shapes(build_model(model_type, **fields))
    assert block_tensors(spec, 0) == {prefix + name: shape for name, shape in expected.items()}


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
