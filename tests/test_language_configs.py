"""configs/_base_/language: every field that decides a block or an arm is written, and is what the makers published.

The numbers are those of the ``config.json`` files on the hub, written down here a second time: a base that leaves one
out takes transformers' default, which for SmolLM2's initialisation is less than half of its own.
"""
import pytest
import torch
from mmengine.config import Config

from lbbt_mm.language import read_arm_block, read_spec
from lbbt_mm.models.layers import LanguageBlock, RotaryEmbedding
from tests.closeness import assert_close
from tests.tiny_detection import REPO

BASES = {path.stem: path for path in sorted((REPO / 'configs' / '_base_' / 'language').glob('*.py'))}

_GPT2 = dict(model_type='gpt2', n_positions=1024, layer_norm_epsilon=1e-5, initializer_range=0.02,
             activation_function='gelu_new')
_QWEN3 = dict(model_type='qwen3', num_key_value_heads=8, head_dim=128, max_position_embeddings=40960, rms_norm_eps=1e-6,
              rope_theta=1e6, initializer_range=0.02, hidden_act='silu')
_OPT = dict(model_type='opt', num_hidden_layers=24, num_attention_heads=32, activation_function='relu',
            do_layer_norm_before=True, max_position_embeddings=2048, vocab_size=50272, init_std=0.02)
#: Base -> hub id and published fields
PUBLISHED = {
    'gpt2': ('openai-community/gpt2', dict(_GPT2, n_embd=768, n_head=12, n_layer=12)),
    'gpt2_medium': ('openai-community/gpt2-medium', dict(_GPT2, n_embd=1024, n_head=16, n_layer=24)),
    'smollm2_135m': ('HuggingFaceTB/SmolLM2-135M', dict(
        model_type='llama', hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, rms_norm_eps=1e-5, rope_theta=1e5, max_position_embeddings=8192,
        initializer_range=0.041666666666666664, hidden_act='silu')),
    'llama_7b': ('huggyllama/llama-7b', dict(
        model_type='llama', hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=32, rms_norm_eps=1e-6, rope_theta=1e4, max_position_embeddings=2048, initializer_range=0.02,
        hidden_act='silu')),
    'llama3_2_1b': ('meta-llama/Llama-3.2-1B', dict(
        model_type='llama', hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
        num_key_value_heads=8, head_dim=64, rms_norm_eps=1e-5, rope_theta=5e5, max_position_embeddings=131072,
        initializer_range=0.02, hidden_act='silu',
        rope_scaling=dict(rope_type='llama3', factor=32., low_freq_factor=1., high_freq_factor=4.,
                          original_max_position_embeddings=8192))),
    'qwen3_8b': ('Qwen/Qwen3-8B', dict(
        _QWEN3, hidden_size=4096, intermediate_size=12288, num_hidden_layers=36, num_attention_heads=32)),
    'qwen3_14b': ('Qwen/Qwen3-14B', dict(
        _QWEN3, hidden_size=5120, intermediate_size=17408, num_hidden_layers=40, num_attention_heads=40)),
    'opt_350m': ('facebook/opt-350m', dict(_OPT, hidden_size=1024, ffn_dim=4096, num_attention_heads=16,
                                           word_embed_proj_dim=512, do_layer_norm_before=False)),
    'opt_1_3b': ('facebook/opt-1.3b', dict(_OPT, hidden_size=2048, ffn_dim=8192)),
    'opt_2_7b': ('facebook/opt-2.7b', dict(_OPT, hidden_size=2560, ffn_dim=10240, num_hidden_layers=32)),
    'opt_6_7b': ('facebook/opt-6.7b', dict(_OPT, hidden_size=4096, ffn_dim=16384, num_hidden_layers=32)),
}
#: What decides an arm: how wide its random start is, which function the block computes, how many positions there are
DECIDES = {
    'gpt2': {'n_embd', 'n_head', 'n_layer', 'n_positions', 'layer_norm_epsilon', 'initializer_range',
             'activation_function'},
    'llama': {'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads',
              'max_position_embeddings', 'rms_norm_eps', 'rope_theta', 'initializer_range', 'hidden_act'},
}
DECIDES['qwen3'] = DECIDES['llama'] | {'head_dim'}
DECIDES['opt'] = {'hidden_size', 'ffn_dim', 'num_hidden_layers', 'num_attention_heads', 'activation_function',
                  'do_layer_norm_before', 'max_position_embeddings', 'init_std'}


def config_of(name: str) -> dict:
    return Config.fromfile(BASES[name]).language.config.to_dict()


@pytest.mark.parametrize('name', BASES)
def test_a_base_states_what_decides_an_arm(name):
    config = config_of(name)
    assert DECIDES[config['model_type']] - config.keys() == set(), 'left to a default'


@pytest.mark.parametrize('name', BASES)
def test_every_field_of_a_base_is_the_published_one(name):
    hub_id, published = PUBLISHED[name]
    assert Config.fromfile(BASES[name]).language.checkpoint == hub_id
    assert config_of(name) == published


def test_the_table_above_is_of_bases_that_are_there():
    assert PUBLISHED.keys() == BASES.keys()


@pytest.mark.parametrize('name', BASES)
def test_the_published_values_reach_the_block(name):
    published = PUBLISHED[name][1]
    spec = read_spec(config_of(name))
    with torch.device('meta'):
        block = LanguageBlock(spec.block)
    eps = published.get('rms_norm_eps', published.get('layer_norm_epsilon', 1e-5))  # OPT's config has no field for it
    norms = [module for module in block.modules() if isinstance(module, (torch.nn.LayerNorm, torch.nn.RMSNorm))]
    assert [norm.eps for norm in norms] == [eps] * (4 if published['model_type'] == 'qwen3' else 2)
    assert spec.initializer_range == published.get('initializer_range', published.get('init_std'))
    assert spec.num_positions == published.get('n_positions', published.get('max_position_embeddings'))


@pytest.mark.parametrize('name', [name for name, (_, published) in PUBLISHED.items() if 'rope_theta' in published])
def test_the_published_rotation_reaches_the_queries(name):
    """The fastest frequencies are powers of theta under every rule; Llama 3 slows the slowest down by its factor."""
    published = PUBLISHED[name][1]
    spec = read_spec(config_of(name)).block
    frequencies = RotaryEmbedding(spec).frequencies.double()
    exponents = -torch.arange(0, spec.head_dims, 2, dtype=torch.float64) / spec.head_dims
    plain = published['rope_theta']**exponents
    slowed = plain / published.get('rope_scaling', {}).get('factor', 1.)
    # relative to each frequency: they span six orders of magnitude
    one = torch.ones(4, dtype=torch.float64)
    assert_close(frequencies[:4] / plain[:4], one, terms=1, dtype=torch.float32)
    assert_close(frequencies[-4:] / slowed[-4:], one, terms=1, dtype=torch.float32)


@pytest.mark.parametrize('name', ['gpt2', 'smollm2_135m'])
def test_the_random_arm_is_drawn_at_the_published_range(name):
    published = PUBLISHED[name][1]
    spec = read_spec(config_of(name))
    tensors = read_arm_block('random', spec, None, 0, 0)
    matrices = {name: tensor for name, tensor in tensors.items() if tensor.ndim == 2}
    assert len(matrices) == (4 if name == 'gpt2' else 7)
    for tensor_name, tensor in matrices.items():
        residual = tensor_name.endswith('c_proj.weight')  # GPT-2 divides what writes to the residual stream
        expected = published['initializer_range'] / ((2 * spec.num_blocks)**0.5 if residual else 1)
        assert tensor.std().item() == pytest.approx(expected, rel=0.01), tensor_name
