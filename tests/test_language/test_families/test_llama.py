"""Llama and its kin."""
import copy

import pytest
import torch
from mmengine import ConfigDict

from lbbt_mm.language import CheckpointError, LanguageOptions, open_checkpoint, read_spec
from lbbt_mm.models.layers import LanguageBlock
from tests.tiny_checkpoints import CONFIGS, build_model, config_of

WINDOWS = [
    ('mistral', dict(sliding_window=16), [0, 1, 2, 3]),
    ('qwen2', dict(use_sliding_window=True, sliding_window=16, max_window_layers=2), [2, 3]),
    ('qwen3', dict(use_sliding_window=True, sliding_window=16, layer_types=[
        'full_attention', 'sliding_attention', 'full_attention', 'full_attention']), [1]),
]


@pytest.mark.parametrize('model_type, fields, blocks', WINDOWS)
def test_sliding_windows_are_known_by_block(model_type, fields, blocks, tmp_path):
    build_model(model_type, **fields).save_pretrained(tmp_path)
    assert open_checkpoint(tmp_path).spec.windows == dict.fromkeys(blocks, 16)


@pytest.mark.parametrize('model_type, fields', [
    ('mistral', dict(sliding_window=None)), ('qwen2', dict(use_sliding_window=False, sliding_window=16)),
    ('qwen3', dict(sliding_window=16)), ('llama', dict(sliding_window=16))])
def test_windows_that_the_model_does_not_use_are_none(model_type, fields, tmp_path):
    build_model(model_type, **fields).save_pretrained(tmp_path)
    assert open_checkpoint(tmp_path).spec.windows == {}


@pytest.mark.parametrize('model_type, fields, blocks', WINDOWS)
def test_more_tokens_than_a_window_are_refused_where_a_chosen_block_has_one(model_type, fields, blocks):
    options = LanguageOptions.from_dict(dict(config={**CONFIGS[model_type], **fields}, blocks=list(blocks)))
    block = LanguageBlock(options.block('blocks'))
    assert block(torch.zeros(1, 16, 32)).shape == (1, 16, 32)
    with pytest.raises(ValueError, match='17 tokens, and the language model attends in windows of 16; .*larger patches'):
        block(torch.zeros(1, 17, 32))
    others = [index for index in range(4) if index not in blocks]
    if others:
        options = LanguageOptions.from_dict(dict(config={**CONFIGS[model_type], **fields}, blocks=others))
        assert LanguageBlock(options.block('blocks'))(torch.zeros(1, 17, 32)).shape == (1, 17, 32)


def test_other_kinds_of_attention_are_refused():
    config = {**CONFIGS['qwen3'], 'layer_types': ['full_attention'] * 3 + ['chunked_attention']}
    with pytest.raises(CheckpointError, match='chunked_attention'):
        LanguageOptions.from_dict(dict(config=config))


LLAMA_3_2_1B = dict(
    model_type='llama', hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8,
    head_dim=64, num_hidden_layers=16, rms_norm_eps=1e-5, rope_theta=500000.0, max_position_embeddings=131072,
    rope_scaling=dict(factor=32.0, high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=8192,
                      rope_type='llama3'))


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


def test_mmengine_config_dicts_are_read_and_left_as_they_are():
    config = ConfigDict(LLAMA_3_2_1B)
    before = copy.deepcopy(config)
    assert read_spec(config) == read_spec(LLAMA_3_2_1B)
    assert config == before
