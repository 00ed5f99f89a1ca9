import warnings

import pytest
import torch
from transformers import AutoConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from lbbt_mm.language import read_spec
from lbbt_mm.models.layers import RotaryEmbedding, rotate
from tests.closeness import assert_close, size_of
from tests.tiny_checkpoints import CONFIGS

LLAMA3 = dict(rope_type='llama3', factor=32.0, high_freq_factor=4.0, low_freq_factor=1.0,
              original_max_position_embeddings=8192)
RULES = {
    'default': dict(),
    'another base': dict(rope_theta=1e6),
    'llama3': dict(rope_theta=5e5, max_position_embeddings=131072, rope_scaling=LLAMA3),
    'linear': dict(rope_scaling=dict(rope_type='linear', factor=4.0)),
    'linear, spelt in the old way': dict(rope_scaling=dict(type='linear', factor=4.0)),
    'dynamic': dict(max_position_embeddings=8192, rope_scaling=dict(rope_type='dynamic', factor=2.0)),
    'yarn': dict(max_position_embeddings=131072, rope_scaling=dict(rope_type='yarn', factor=4.0,
                                                                   original_max_position_embeddings=32768)),
}


def spec_and_config(model_type='llama', **fields):
    fields = {**CONFIGS[model_type], 'head_dim': 64, **fields}
    plain = {key: value for key, value in fields.items() if key != 'model_type'}
    return read_spec(fields).block, AutoConfig.for_model(model_type, **plain)


@pytest.mark.parametrize('rule', RULES)
def test_table_equals_that_of_transformers(rule):
    spec, config = spec_and_config(**RULES[rule])
    positions = torch.tensor([0, 1, 2, 17, 100, 1000, 5000])
    cos, sin = RotaryEmbedding(spec)(positions)
    expected_cos, expected_sin = LlamaRotaryEmbedding(config)(torch.zeros(1), positions[None])
    # what a frequency is off in its last place, an angle is as often as its position says
    for index, position in enumerate(positions.tolist()):
        for found, expected in ((cos[0], expected_cos), (sin[0], expected_sin)):
            assert_close(found[:, index], expected[:, index], terms=1, size=max(position, 1.))


@pytest.mark.parametrize('rule', RULES)
def test_frequencies_equal_those_of_transformers(rule):
    spec, config = spec_and_config(**RULES[rule])
    ours, theirs = RotaryEmbedding(spec), LlamaRotaryEmbedding(config)
    assert_close(ours.frequencies / theirs.inv_freq, torch.ones(32), terms=1)
    assert ours.attention_scaling == pytest.approx(theirs.attention_scaling)


def test_the_rules_differ_so_that_the_comparison_means_something():
    tables = [RotaryEmbedding(spec_and_config(**fields)[0]).frequencies for rule, fields in RULES.items()
              if rule in ('default', 'another base', 'llama3', 'linear', 'yarn')]
    assert all(not torch.allclose(tables[i], tables[j]) for i in range(len(tables)) for j in range(i))


def test_a_consistent_config_gives_no_warning(logged):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        RotaryEmbedding(spec_and_config(**RULES['llama3'])[0])
        RotaryEmbedding(spec_and_config(**RULES['yarn'])[0])
    assert not logged


def test_rotation_equals_that_of_transformers():
    spec, config = spec_and_config()
    q, k, positions = torch.randn(2, 4, 6, 64), torch.randn(2, 2, 6, 64), torch.arange(6)
    table = RotaryEmbedding(spec)(positions)
    expected = apply_rotary_pos_emb(q, k, *LlamaRotaryEmbedding(config)(q, positions[None]))
    assert_close((rotate(q, table), rotate(k, table)), expected, terms=2)


def test_logits_depend_on_the_distance_alone():
    spec, _ = spec_and_config()
    q, k, embedding = torch.randn(1, 1, 1, 64), torch.randn(1, 1, 1, 64), RotaryEmbedding(spec)

    def logit(i, j):
        return (rotate(q, embedding(torch.tensor([i]))) * rotate(k, embedding(torch.tensor([j])))).sum()

    # angles of up to 13, and a sum of 64 products that cancel
    assert_close(logit(3, 1), logit(13, 11), depth=13, terms=64, size=size_of(q * k))
    assert not torch.isclose(logit(3, 1), logit(3, 2), atol=1e-3)


def test_position_zero_leaves_vectors_as_they_are():
    spec, _ = spec_and_config()
    x = torch.randn(1, 2, 3, 64)
    assert torch.equal(rotate(x, RotaryEmbedding(spec)(torch.zeros(3))), x)


def test_positions_may_differ_between_samples_and_be_fractional():
    embedding = RotaryEmbedding(spec_and_config()[0])
    cos, sin = embedding(torch.tensor([[0.5, 1.0], [2.0, 3.5]]))
    assert cos.shape == sin.shape == (2, 1, 2, 64)
    assert_close(cos[1], embedding(torch.tensor([2.0, 3.5]))[0][0], terms=1)


def test_dtype_of_queries_is_kept():
    embedding = RotaryEmbedding(spec_and_config()[0])
    x = torch.randn(1, 1, 3, 64, dtype=torch.bfloat16)
    assert rotate(x, embedding(torch.arange(3))).dtype == torch.bfloat16
    assert embedding(torch.arange(3), torch.bfloat16)[0].dtype == torch.bfloat16


def test_table_is_not_part_of_a_checkpoint():
    assert not RotaryEmbedding(spec_and_config()[0]).state_dict()


def test_language_model_without_rotary_positions_is_refused():
    with pytest.raises(ValueError, match=r'has no rotary positions \(it learns a table\); expected a family that has '
                                         'them. Use learned positions'):
        RotaryEmbedding(read_spec(CONFIGS['gpt2']).block)


def test_unknown_rule_lists_the_known_ones():
    with pytest.raises(ValueError, match="rope_type='spiral' is not known to transformers; expected default or one of"):
        spec_and_config(rope_scaling=dict(rope_type='spiral', factor=2.0))
