"""One model, saved as a folder and as GGUF, is one function, and what neither file can say here is refused."""
import json

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file

from lbbt_mm.language import CheckpointError, LanguageOptions, open_checkpoint
from lbbt_mm.models.layers import LanguageBlock, RotaryEmbedding
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


def metadata_file(path, **metadata):
    """A tiny Llama whose GGUF has these metadata beside its own."""
    model, add = build_model('llama'), gguf.GGUFWriter.add_vocab_size

    def add_more(writer, size):
        add(writer, size)
        for key, value in metadata.items():
            name = f'llama.{key}'
            {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string,
             list: writer.add_array}[type(value)](name, value)

    gguf.GGUFWriter.add_vocab_size = add_more
    try:
        return write_gguf(path, model)
    finally:
        gguf.GGUFWriter.add_vocab_size = add


@pytest.mark.parametrize('metadata', [
    {'rope.scaling.type': 'longrope', 'rope.scaling.factor': 2.}, {'rope.scaling.type': 'linear', 'rope.scaling.factor': 0.},
    {'rope.scaling.type': 'linear', 'rope.scaling.factor': 2., 'rope.scaling.attn_factor': 1.5},
    {'rope.scaling.yarn_ext_factor': 0.5}, {'rope.dimension_count': 4}, {'attention.value_length': 4},
    {'attention.scale': 0.5}, {'attention.causal': False}, {'expert_count': 8}, {'attention.max_alibi_bias': 8.},
    {'rope.dimension_sections': [1, 1, 2, 0]}, {'residual_scale': 0.2}])
def test_metadata_that_ask_for_another_function_are_refused(metadata, tmp_path):
    file = metadata_file(tmp_path / 'tiny.gguf', **metadata)
    with pytest.raises(CheckpointError, match=f'tiny.gguf: its metadata say .*({list(metadata)[-1]}|{list(metadata)[0]})'):
        open_checkpoint(file)


@pytest.mark.parametrize('metadata', [
    {'rope.scaling.type': 'none'}, {'rope.dimension_count': 8}, {'attention.value_length': 8}, {'expert_count': 0},
    {'rope.scaling.finetuned': True}, {'use_parallel_residual': False}])
def test_metadata_that_say_the_usual_are_read(metadata, tmp_path):
    assert open_checkpoint(metadata_file(tmp_path / 'tiny.gguf', **metadata)).read_block(0)


def test_the_old_name_of_a_linear_rule(tmp_path):
    rotary = open_checkpoint(metadata_file(tmp_path / 'tiny.gguf', **{'rope.scale_linear': 4.})).spec.block.rotary
    assert (rotary.rope_type, rotary.parameters['factor']) == ('linear', 4.)


# ---------------------------------------------------------------------------- windows and lengths
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


def test_weights_of_float_8_are_no_floating_point_weights_here(tmp_path):
    build_model('llama').save_pretrained(tmp_path)
    tensors = load_file(tmp_path / 'model.safetensors')
    name = 'model.layers.0.mlp.up_proj.weight'
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    torch.save(tensors, tmp_path / 'pytorch_model.bin')
    (tmp_path / 'model.safetensors').unlink()
    with pytest.raises(CheckpointError, match='stored as torch.float8_e4m3fn; expected a floating-point type of 16 bits'):
        open_checkpoint(tmp_path).read_block(0)
    save_file(tensors, tmp_path / 'model.safetensors')
    with pytest.raises(CheckpointError, match='stored as F8_E4M3; expected one of'):
        open_checkpoint(tmp_path).read_block(0)
