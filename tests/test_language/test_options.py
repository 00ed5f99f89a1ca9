"""The language dict of a config."""
import re
from dataclasses import replace

import pytest
from mmengine import ConfigDict

from lbbt_mm.language import FAMILIES, LanguageOptions, block_tensors, open_checkpoint, read_spec
from lbbt_mm.language.options import disagreements
from tests.edited_checkpoints import saved
from tests.tiny_checkpoints import CONFIGS, build_model, hf_blocks, write_gguf

DETR_KEYS = ('encoder_blocks', 'decoder_blocks')


def options(block_keys=('blocks', ), **language):
    return LanguageOptions.from_dict(dict(config=CONFIGS['gpt2'], **language), block_keys)


def test_defaults_are_the_language_arm_of_all_blocks():
    found = options()
    assert (found.arm, found.seed) == ('language', 0)
    assert (found.checkpoint, found.revision, found.extra_layers, found.fit) == (None, None, None, None)
    assert found.block_indices('blocks') == [0, 1, 2, 3]
    assert found.num_layers('blocks') == 4


def test_config_is_read_from_the_checkpoint_where_none_is_written(folders):
    for config in ({}, dict(config=None)):
        found = LanguageOptions.from_dict(dict(checkpoint=str(folders['qwen3']), blocks='0:2', **config))
        assert found.spec.model_type == 'qwen3' and found.spec.block.qk_norm
        assert found.block_indices('blocks') == [0, 1]


def test_config_that_is_written_needs_no_checkpoint():
    assert options(checkpoint='/nowhere/at/all').spec.block.embed_dims == 32


def test_a_config_dict_of_mmengine_is_accepted():
    language = ConfigDict(checkpoint='x', config=CONFIGS['gpt2'], blocks=[0, '2:4'], seed=3)
    found = LanguageOptions.from_dict(language)
    assert found.block_indices('blocks') == [0, 2, 3] and found.seed == 3


def test_component_chooses_the_keys_that_select_blocks():
    found = options(DETR_KEYS, encoder_blocks='0:3', decoder_blocks=-1)
    assert found.block_indices('encoder_blocks') == [0, 1, 2]
    assert found.block_indices('decoder_blocks') == [3]


def test_unknown_key_is_named_with_those_that_are_known():
    with pytest.raises(ValueError, match='language.check_point is not an option here; expected some of: checkpoint, '
                                         'revision, config, blocks, arm, seed, fresh, extra_layers, init_std. Remove it, '
                                         'or set '
                                         'it beside'):
        options(check_point='gpt2')
    with pytest.raises(ValueError, match='language.blocks is not an option here; .*encoder_blocks, decoder_blocks'):
        options(DETR_KEYS, blocks='0:2')


@pytest.mark.parametrize('key, value, expected', [
    ('arm', 'scratch', "'language', 'host', 'random', 'shuffled', 'moment_matched'"),
    ('arm', None, "'language', 'host'"),
    ('extra_layers', 'repeat', "None, 'random'"),
    ('fresh', 'heads', "'blocks', 'position_table', 'final_norm'"),
])
def test_value_that_is_not_among_the_choices_lists_them(key, value, expected):
    with pytest.raises(ValueError, match=f'language.{key}={value!r}; expected one of {expected}'):
        options(**{key: value})


@pytest.mark.parametrize('seed', ['0', 1.5, True, None])
def test_seed_that_is_no_whole_number_is_an_error(seed):
    with pytest.raises(ValueError, match=f'language.seed={seed!r}; expected a whole number'):
        options(seed=seed)


@pytest.mark.parametrize('init_std', ['0.02', True, 0, -1, float('nan'), float('inf'), 1e9, 10.1])
def test_init_std_that_is_no_standard_deviation_is_an_error(init_std):
    with pytest.raises(ValueError, match=f'language.init_std={init_std!r}; expected a standard deviation'):
        options(init_std=init_std, arm='random_tuned')


def test_random_tuned_without_a_scale_says_how_to_get_one():
    with pytest.raises(ValueError, match="language.arm='random_tuned' has no init_std; .*compare_arms.py --arms "
                                         "random_tuned"):
        options(arm='random_tuned')


def test_random_is_the_models_own_scale_and_no_other():
    assert options(arm='random', init_std=0.02).drawn_spec().initializer_range == 0.02
    assert options(arm='random_tuned', init_std=0.07).drawn_spec().initializer_range == 0.07
    with pytest.raises(ValueError, match="language.init_std=0.04, but the language model's own initializer_range is 0.02"):
        options(arm='random', init_std=0.04)


@pytest.mark.parametrize('language', [None, 'gpt2', ['gpt2']])
def test_language_that_is_no_dict_is_an_error(language):
    with pytest.raises(ValueError, match=r'language=.*: expected a dict such as dict\(checkpoint=..., config=...\)'):
        LanguageOptions.from_dict(language)


def test_neither_config_nor_checkpoint_says_where_to_get_one():
    with pytest.raises(ValueError, match='language has neither config nor checkpoint; expected at least one. Inherit '
                                         'from configs/_base_/language/, or set language.checkpoint'):
        LanguageOptions.from_dict(dict(arm='random', config=None))


def test_blocks_out_of_range_are_noticed_at_once():
    with pytest.raises(ValueError, match=r"language.blocks='0:5' is out of range: the language model has 4 blocks"):
        options(blocks='0:5')


def test_as_many_layers_as_blocks_need_no_further_word():
    assert options(blocks='0:3').num_layers('blocks', 3) == 3


def test_more_layers_than_blocks_are_an_error_with_a_remedy():
    with pytest.raises(ValueError, match=r"num_layers=6, but language.blocks='0:3' gives 3 blocks \(the language model "
                                         r"has 4\); expected as many layers as blocks: set num_layers to None, or "
                                         "language.extra_layers='random'"):
        options(blocks='0:3').num_layers('blocks', 6)


def test_more_layers_than_blocks_are_allowed_where_the_rest_may_be_random():
    assert options(blocks='0:3', extra_layers='random').num_layers('blocks', 6) == 6


@pytest.mark.parametrize('extra_layers', [None, 'random'])
def test_fewer_layers_than_blocks_are_an_error_with_a_remedy(extra_layers):
    with pytest.raises(ValueError, match='num_layers=2, but .* gives 3 blocks .*: set num_layers to None, or select'):
        options(blocks='0:3', extra_layers=extra_layers).num_layers('blocks', 2)


@pytest.mark.parametrize('model_type, field, value, message', [
    ('gpt2', 'n_embd', 64, 'embed_dims 64 in the config, 32 in the checkpoint'),
    ('gpt2', 'n_layer', 5, 'num_blocks 5 in the config, 4 in the checkpoint'),
    ('gpt2', 'activation_function', 'relu', "activation 'relu' in the config, 'gelu_new' in the checkpoint"),
    ('llama', 'num_key_value_heads', 4, 'num_kv_heads 4 in the config, 2 in the checkpoint'),
    ('llama', 'rms_norm_eps', 1.1e-5, 'norm_eps 1.1e-05 in the config, 1e-05 in the checkpoint'),
    ('llama', 'rope_theta', 5e5, r'rotary RotarySpec\(theta=500000.0'),
    ('llama', 'rope_scaling', dict(rope_type='linear', factor=2.0), "rotary RotarySpec.*'linear'"),
])
def test_a_field_that_changes_the_block_is_a_disagreement(model_type, field, value, message):
    written, found = read_spec({**CONFIGS[model_type], field: value}), read_spec(CONFIGS[model_type])
    phrases = disagreements(written, found)
    assert any(re.match(message, phrase) for phrase in phrases), phrases


def test_families_with_different_blocks_disagree():
    phrases = disagreements(read_spec(CONFIGS['qwen2']), read_spec(CONFIGS['llama']))
    assert 'qkv_bias True in the config, False in the checkpoint' in phrases
    assert "model_type 'qwen2' in the config, 'llama' in the checkpoint" in phrases


@pytest.mark.parametrize('fields', [
    dict(vocab_size=7), dict(n_positions=1024, resid_pdrop=0.5), dict(torch_dtype='bfloat16')
])
def test_fields_that_do_not_reach_the_block_may_differ(fields):
    assert disagreements(read_spec({**CONFIGS['gpt2'], **fields}), read_spec(CONFIGS['gpt2'])) == []


def test_mistral_agrees_with_a_gguf_file_which_calls_it_llama(tmp_path):
    path = write_gguf(tmp_path / 'mistral.gguf', build_model('mistral'))
    found = open_checkpoint(path).spec
    assert found.model_type == 'llama' and disagreements(read_spec(CONFIGS['mistral']), found) == []


@pytest.mark.parametrize('field, value', [('rms_norm_eps', 1e-5), ('rms_norm_eps', 1e-6), ('rope_theta', 1234567.8)])
def test_rounding_to_single_precision_in_gguf_is_no_disagreement(tmp_path, field, value):
    path = write_gguf(tmp_path / 'tiny.gguf', build_model('llama', **{field: value}))
    written, found = read_spec({**CONFIGS['llama'], field: value}), open_checkpoint(path).spec
    assert disagreements(written, found) == []
    assert found != written, 'the file holds the very same number, so this test would prove nothing'


def test_an_integer_theta_agrees_with_its_float():
    assert disagreements(read_spec({**CONFIGS['llama'], 'rope_theta': 500000}),
                         read_spec({**CONFIGS['llama'], 'rope_theta': 500000.0})) == []


def test_options_are_values_that_cannot_be_changed_behind_the_back_of_a_model():
    with pytest.raises(AttributeError):
        options().arm = 'host'
    assert replace(options(), arm='host').arm == 'host'


@pytest.mark.parametrize('written', [dict(sliding_window=None), dict(sliding_window=32)])
def test_another_sliding_window_is_another_function(written, tmp_path):
    found = open_checkpoint(str(saved(tmp_path / 'm', 'mistral', sliding_window=16))).spec
    said, = disagreements(read_spec({**CONFIGS['mistral'], **written}), found)
    assert 'sliding windows' in said and '0: 16' in said
    assert not disagreements(read_spec({**CONFIGS['mistral'], 'sliding_window': 16}), found)


def test_options_take_the_window_of_the_checkpoint(tmp_path):
    folder = saved(tmp_path / 'm', 'mistral', sliding_window=16)
    assert LanguageOptions.from_dict(dict(checkpoint=str(folder), blocks='0:1')).block('blocks').window == 16


@pytest.mark.parametrize('written, saved_as', [('gelu_new', 'gelu_pytorch_tanh'), ('gelu_fast', 'gelu_new')])
def test_two_names_of_one_activation_agree(written, saved_as):
    specs = [read_spec({**CONFIGS['gpt2'], 'activation_function': name}) for name in (written, saved_as)]
    assert disagreements(*specs) == []
    assert disagreements(specs[0], read_spec({**CONFIGS['gpt2'], 'activation_function': 'gelu'}))


@pytest.mark.parametrize('model_type, stray', [
    ('mistral', 'attention_bias'), ('mistral', 'mlp_bias'), ('qwen2', 'attention_bias'), ('qwen2', 'mlp_bias'),
    ('qwen3', 'mlp_bias'), ('gpt2', 'attention_bias')])
def test_a_field_that_a_family_does_not_read_is_no_disagreement(model_type, stray, folders):
    """transformers builds the same blocks with it."""
    spec = read_spec({**CONFIGS[model_type], stray: True})
    assert disagreements(spec, open_checkpoint(folders[model_type]).spec) == []
    model = build_model(model_type, **{stray: True})
    assert block_tensors(spec, 0).keys() == {FAMILIES[model_type].block_prefix.format(i=0) + name
                                             for name, _ in hf_blocks(model)[0].named_parameters()}
