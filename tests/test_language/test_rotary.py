"""Rotary rules: one function in every format, compared by how they rotate, refused where nobody would read them."""
import json

import pytest
import torch

from lbbt_mm.language import CheckpointError, LanguageOptions, open_checkpoint, read_spec
from lbbt_mm.language.options import disagreements
from lbbt_mm.models.layers import RotaryEmbedding
from tests.edited_checkpoints import saved
from tests.tiny_checkpoints import CONFIGS, build_model, copied_block, hf_blocks, write_gguf
from tests.vision_stack import VisionStack

LLAMA3 = dict(rope_type='llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)


#: Rotary rules, with heads of 32 channels and a base that make them matter within 64 positions.
RULES = {
    'default': {},
    'another base': dict(rope_theta=500.),
    'linear': dict(rope_scaling=dict(rope_type='linear', factor=4.0)),
    'yarn': dict(rope_scaling=dict(rope_type='yarn', factor=4.0, original_max_position_embeddings=16)),
    'yarn, its own context': dict(rope_scaling=dict(rope_type='yarn', factor=2.0)),
    'llama3': dict(rope_scaling=LLAMA3, rope_theta=500.),
}


TOKENS = 48


def rotary_model(fields, model_type='llama'):
    return build_model(model_type, head_dim=32, **fields)


def output(checkpoint, tokens):
    block = copied_block(checkpoint, 1, attention='causal')
    rotary = RotaryEmbedding(checkpoint.spec.block)(torch.arange(tokens.shape[1]))
    with torch.no_grad():
        return block(tokens, rotary=rotary)


def transformers_output(model, tokens):
    positions = torch.arange(tokens.shape[1])[None]
    mask = torch.full((tokens.shape[1], ) * 2, float('-inf')).triu(1)[None, None]
    with torch.no_grad():
        rotary = model.model.rotary_emb(tokens, positions)
        found = hf_blocks(model)[1](tokens, attention_mask=mask, position_embeddings=rotary)
    return found[0] if isinstance(found, tuple) else found


@pytest.fixture
def tokens():
    return torch.randn(2, TOKENS, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('model_type', ['llama', 'qwen3'])
def test_folder_gguf_and_transformers_give_the_same_outputs(rule, model_type, tokens, tmp_path):
    model = rotary_model(RULES[rule], model_type)
    model.save_pretrained(tmp_path / 'folder')
    if model_type == 'qwen3' and rule == 'llama3':
        pytest.skip('llama.cpp has the tensor of factors for Llama alone')
    file = write_gguf(tmp_path / 'tiny.gguf', model)
    expected = transformers_output(model, tokens)
    for location in (tmp_path / 'folder', file):
        torch.testing.assert_close(output(open_checkpoint(location), tokens), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('rule', [rule for rule in RULES if rule != 'default'])
def test_the_rules_matter_within_these_tokens(rule, tokens, tmp_path):
    """Else the test before would pass with the rule forgotten."""
    rotary_model(RULES[rule]).save_pretrained(tmp_path / 'one')
    rotary_model({}).save_pretrained(tmp_path / 'two')
    found, other = (output(open_checkpoint(tmp_path / name), tokens) for name in ('one', 'two'))
    assert (found - other).abs().max() > 0.05


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('other', RULES)
def test_a_written_config_is_compared_by_how_it_rotates(rule, other, tmp_path):
    model = rotary_model(RULES[rule])
    file = write_gguf(tmp_path / 'tiny.gguf', model)
    config = {**CONFIGS['llama'], 'head_dim': 32, **RULES[other]}
    stack = VisionStack(dict(checkpoint=file, config=config))
    if rule == other:
        stack.init_weights()
    else:
        with pytest.raises(CheckpointError, match='language.config and the checkpoint disagree: rotary '):
            stack.init_weights()


def test_a_rule_that_goes_by_length_is_the_trained_one_up_to_that():
    config = {**CONFIGS['llama'], 'rope_scaling': dict(rope_type='dynamic', factor=2.)}
    rotary = RotaryEmbedding(LanguageOptions.from_dict(dict(config=config)).spec.block)
    plain = RotaryEmbedding(LanguageOptions.from_dict(dict(config=CONFIGS['llama'])).spec.block)
    for ours, theirs in zip(rotary(torch.arange(64)), plain(torch.arange(64))):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(ValueError, match="rope_type='dynamic' turns by other frequencies from position 64 on"):
        rotary(torch.arange(65))


@pytest.mark.parametrize('scaling, message', [
    (dict(rope_type='linear'), 'factor'), (dict(rope_type='yarn', factor='four'), 'four'), (dict(rope_type='mrope'),
     'mrope'),
    (dict(rope_type='llama3', factor=8.), 'low_freq_factor'), ('linear', 'linear'), (dict(rope_type=3), '3')])
def test_a_rule_without_its_fields_names_checkpoint_and_field(scaling, message, tmp_path):
    build_model('llama').save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps({**config, 'rope_scaling': scaling}))
    with pytest.raises(CheckpointError, match=f'{tmp_path}: .*{message}'):
        open_checkpoint(tmp_path)


def test_a_gguf_file_with_biases_of_attention_and_mlp(tokens, tmp_path):
    model = rotary_model(dict(attention_bias=True, mlp_bias=True))
    checkpoint = open_checkpoint(write_gguf(tmp_path / 'tiny.gguf', model))
    assert checkpoint.spec.block.proj_bias and checkpoint.spec.block.ffn_bias
    torch.testing.assert_close(output(checkpoint, tokens), transformers_output(model, tokens), rtol=1e-4, atol=1e-5)


def test_a_gguf_file_with_biases_of_the_mlp_alone(tokens, tmp_path):
    model = rotary_model(dict(mlp_bias=True))
    checkpoint = open_checkpoint(write_gguf(tmp_path / 'tiny.gguf', model))
    assert not checkpoint.spec.block.qkv_bias and checkpoint.spec.block.ffn_bias
    torch.testing.assert_close(output(checkpoint, tokens), transformers_output(model, tokens), rtol=1e-4, atol=1e-5)


def test_a_rule_that_goes_by_length_is_not_the_plain_one(tmp_path):
    folder = saved(tmp_path / 'm', rope_scaling=dict(rope_type='dynamic', factor=2.))
    assert disagreements(read_spec(CONFIGS['llama']), open_checkpoint(str(folder)).spec)


@pytest.mark.parametrize('rule', [
    dict(rope_type='default', partial_rotary_factor=0.5), dict(factor=8.),
    dict(full_attention=dict(rope_type='linear', factor=8.), sliding_attention=dict(rope_type='default'))])
def test_rotary_fields_that_nobody_would_read(rule):
    with pytest.raises(CheckpointError):
        read_spec({**CONFIGS['llama'], 'rope_scaling': rule})
